//! What is beside the program for those who run it: configurations of proxies, the container image, the Debian package. What is not
//! installed to check them with says so, and its test shows nothing.

use crate::process::{Place, installed, output};
use std::path::Path;
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// A configuration with a certificate that is there, and a place to listen that is free.
fn proxy(folder: &Place, name: &str) -> Option<String> {
    let openssl = installed("openssl", "openssl")?;
    let (certificate, key) = (folder.within("chat.pem"), folder.within("chat.key"));
    let arguments =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"];
    succeeded(&output(Command::new(openssl).args(arguments).args(["-keyout", &key, "-out", &certificate])));
    let both = [std::fs::read(&certificate), std::fs::read(&key)].map(|file| file.expect("it was made")).concat();
    std::fs::write(&certificate, both).expect("it is written");
    let text = std::fs::read_to_string(root().join("contrib/proxies").join(name)).expect("it is there");
    let text = text.replace("/etc/ssl/chat.pem", &certificate).replace("/etc/ssl/chat.key", &key);
    let file = folder.within(name);
    std::fs::write(&file, text.replace("listen 443", &format!("listen unix:{}", folder.within("socket"))))
        .expect("it is written");
    Some(file)
}

#[test]
fn nginx_takes_the_example() {
    let Some(nginx) = installed("nginx", "nginx-light") else { return };
    let folder = Place::folder("example-nginx");
    let Some(file) = proxy(&folder, "nginx.conf") else { return };
    let pid = format!("pid {};", folder.within("pid"));
    succeeded(&output(Command::new(nginx).args(["-t", "-e", "stderr", "-g", &pid, "-c", &file])));
}

#[test]
fn haproxy_takes_the_example_without_a_warning() {
    let Some(haproxy) = installed("haproxy", "haproxy") else { return };
    let folder = Place::folder("example-haproxy");
    let Some(file) = proxy(&folder, "haproxy.cfg") else { return };
    let told = output(Command::new(haproxy).args(["-c", "-f", &file]));
    succeeded(&told);
    assert!(!String::from_utf8_lossy(&told.stderr).contains("WARNING"), "{told:?}");
}

#[test]
fn caddy_takes_the_example() {
    let Some(caddy) = installed("caddy", "caddy") else { return };
    let folder = Place::folder("example-caddy");
    let Some(file) = proxy(&folder, "Caddyfile") else { return };
    let mut validate = Command::new(caddy);
    validate.args(["validate", "--adapter", "caddyfile", "--config", &file]);
    succeeded(&output(validate.env("HOME", &*folder).env_remove("XDG_DATA_HOME")));
}

#[test]
fn the_same_program_gives_the_same_image_with_few_files_and_no_root() {
    let (Some(_), Some(cc)) = (installed("jq", "jq"), installed("cc", "gcc")) else { return };
    let folder = Place::folder("image");
    // A program of this kind that is made at once: the script looks at its version, and at whether it needs libraries.
    let (source, program) = (folder.within("x.c"), folder.within("x"));
    std::fs::write(&source, "#include <stdio.h>\nint main(void) { puts(\"switchboard 0.1.0\"); return 0; }\n")
        .expect("it is written");
    succeeded(&output(Command::new(&cc).args(["-static", "-o", &program, &source])));
    let image = |name: &str| {
        let archive = folder.within(name);
        let mut script = Command::new(root().join("scripts/image"));
        script.args([&program, &archive]).env("SOURCE_DATE_EPOCH", "1700000000");
        let told = succeeded(&output(&mut script));
        (std::fs::read(&archive).expect("it was made"), told.split_once(' ').expect("a digest").1.to_owned())
    };
    let (one, other) = (image("one.tar"), image("other.tar"));
    assert!(one == other, "{} {}", one.1, other.1);
    let dynamic = folder.within("dynamic");
    succeeded(&output(Command::new(&cc).args(["-o", &dynamic, &source])));
    let refused = output(Command::new(root().join("scripts/image")).args([&dynamic, &folder.within("no.tar")]));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("needs libraries"), "{refused:?}");

    let (Some(skopeo), Some(umoci)) = (installed("skopeo", "skopeo"), installed("umoci", "umoci")) else { return };
    let archive = format!("oci-archive:{}", folder.within("one.tar"));
    let config = succeeded(&output(Command::new(&skopeo).args(["inspect", "--config", &archive])));
    let config: serde_json::Value = serde_json::from_str(&config).expect("it is JSON");
    assert_eq!(config["config"]["User"], "65532:65532");
    let unpacked = folder.within("layout");
    succeeded(&output(Command::new(&skopeo).args([
        "copy",
        "--quiet",
        "--insecure-policy",
        &archive,
        &format!("oci:{unpacked}:x"),
    ])));
    let bundle = folder.within("bundle");
    succeeded(&output(Command::new(umoci).args([
        "unpack",
        "--rootless",
        "--image",
        &format!("{unpacked}:x"),
        &bundle,
    ])));
    let files = succeeded(&output(Command::new("find").args([
        &format!("{bundle}/rootfs"),
        "-type",
        "f",
        "-printf",
        "/%P %m\\n",
    ])));
    let mut files: Vec<_> = files.lines().collect();
    files.sort_unstable();
    assert_eq!(files, ["/etc/switchboard.toml 644", "/usr/bin/switchboard 755"]);
}
