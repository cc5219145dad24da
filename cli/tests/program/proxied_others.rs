//! A proxy in front of programs that know nothing of it, and peers that are slow, gone, or up to no good.

use crate::operating;
use crate::process::{PATIENCE, Place, Program, ask, exchange, installed, joined, output, until};
use crate::proxying::{is_reset, nowhere, proxied, url};
use crate::tls::Pair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// A program that ends with the test.
pub(crate) struct Other(Child);

impl Other {
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("it is installed"))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of this machine on which nobody listens.
pub(crate) fn port() -> u16 {
    nowhere().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a number")
}

#[test]
fn an_upstream_that_asks_for_a_certificate_gets_it() {
    let (server, file) = (Pair::new("proxy-asks", "localhost"), Place::new("proxy-client.pem"));
    let authority = Place::new("proxy-authority.pem");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["proxy".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(&*authority, issuer.pem()).unwrap();
    std::fs::write(&*file, certificate.pem() + &key.serialize_pem()).unwrap();
    let back = Program::serve(&[&format!("echo=tls://localhost:0?{}&client-ca={authority}", server.query())]);
    let to = url(&back, 0).replace("127.0.0.1", "localhost");
    let with = proxied(&to, &format!("&ca={}&client={file}", server.certificate));
    ask(&mut with.tcp(0), b"hi\n", b"echo: hi\n");
    let without = proxied(&to, &format!("&ca={}", server.certificate));
    let mut refused = without.tcp(0);
    let _ = refused.write_all(b"hi\n");
    let mut answer = Vec::new();
    let _ = refused.read_to_end(&mut answer);
    assert_eq!(answer, b"");
}

#[test]
fn haproxy_and_nginx_are_told_whose_a_connection_is() {
    let (Some(haproxy), Some(nginx)) = (installed("haproxy", "haproxy"), installed("nginx", "libnginx-mod-stream"))
    else {
        return;
    };
    let (folder, ports) = (Place::folder("proxy-header-others"), [port(), port()]);
    let config = format!(
        "defaults\n mode http\n timeout connect 3s\n timeout client 9s\n timeout server 9s\n\
         frontend front\n bind 127.0.0.1:{} accept-proxy\n\
         http-request return status 200 content-type text/plain lf-string %ci:%cp\n",
        ports[0]
    );
    std::fs::write(folder.join("haproxy"), config).unwrap();
    let config = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so; daemon off; master_process off;\n\
         pid {folder}/pid; error_log {folder}/log; events {{ }}\n\
         stream {{ server {{ listen 127.0.0.1:{} proxy_protocol; return $proxy_protocol_addr:$proxy_protocol_port; }} }}\n",
        ports[1]
    );
    std::fs::write(folder.join("nginx"), config).unwrap();
    let _haproxy = Other::start(Command::new(haproxy).args(["-db", "-f", &folder.within("haproxy")]));
    let _nginx = Other::start(Command::new(nginx).args(["-c", &folder.within("nginx"), "-p", &folder.to_string()]));
    for port in ports {
        until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        for version in ["v1", "v2"] {
            let front = proxied(&format!("tcp://127.0.0.1:{port}"), &format!("&send-proxy={version}"));
            let mut stream = front.tcp(0);
            let own = stream.local_addr().unwrap().to_string();
            if port == ports[0] {
                stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            }
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("it answers and closes");
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.ends_with(&own), "{version} at {port}: {own} in {answer}");
        }
    }
}

#[test]
fn redis_is_served_through_a_proxy_as_if_there_were_none() {
    let (Some(server), Some(benchmark)) =
        (installed("redis-server", "redis-server"), installed("redis-benchmark", "redis-tools"))
    else {
        return;
    };
    let port = port();
    let options = ["--port", &port.to_string(), "--save", "", "--bind", "127.0.0.1"].map(str::to_owned);
    let _redis = Other::start(Command::new(server).args(options));
    until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
    let front = proxied(&format!("tcp://127.0.0.1:{port}"), "");
    let front = front.listeners[0].address().port().to_string();
    let ran = output(Command::new(benchmark).args([
        "-p",
        &front,
        "-n",
        "2000",
        "-c",
        "20",
        "-P",
        "4",
        "-t",
        "set,get,lrange",
        "--csv",
    ]));
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && told.contains("\"GET\"") && told.contains("LRANGE_600"), "{ran:?}");
}

#[test]
fn no_connection_fails_while_one_of_three_upstreams_comes_and_goes() {
    let backs = ["0", "1", "2"].map(|number| Place::new(&format!("proxy-flaps-{number}")));
    let start = |back: &Place| Program::serve(&[&back.echo()]);
    let _stay = [start(&backs[0]), start(&backs[1])];
    let mut flaps = Some(start(&backs[2]));
    let urls = backs.each_ref().map(|back| format!("unix://{back}"));
    let program = proxied(&urls.join(","), "&balance=round");
    for number in 0..600 {
        if number % 100 == 50 {
            drop(flaps.take());
            // As a killed server leaves it: there, and nobody behind it.
        } else if number % 100 == 99 {
            let _ = std::fs::remove_file(&*backs[2]);
            flaps = Some(start(&backs[2]));
        }
        assert_eq!(exchange(program.tcp(0), b"x").escape_ascii().to_string(), "echo: x", "{number}");
    }
}

#[test]
fn what_is_not_taken_is_not_piled_up_and_arrives_whole() {
    let back = Program::serve(&["echo=tcp://127.0.0.1:0?prefix="]);
    let program = proxied(url(&back, 0), "");
    let before = program.resident_kilobytes();
    let mut stream = program.tcp(0);
    let line = |number: usize| format!("{number:01023}\n");
    let mut sender = stream.try_clone().unwrap();
    let sends = thread::spawn(move || {
        for number in 0..32 << 10 {
            sender.write_all(line(number).as_bytes()).expect("it is taken some time");
        }
        sender.shutdown(std::net::Shutdown::Write).unwrap();
    });
    // Until all that is between the two holds all that it may, nothing is read.
    let mut held = 0;
    until(|| {
        let now = program.resident_kilobytes();
        std::mem::replace(&mut held, now) == now && now > before
    });
    let mut bytes = [0; 1024];
    for number in 0..32 << 10 {
        stream.read_exact(&mut bytes).expect("it comes back");
        assert!(bytes == *line(number).as_bytes(), "{number}");
        held = held.max(if number % 1024 == 0 { program.resident_kilobytes() } else { 0 });
    }
    joined(sends);
    // 128 KiB each way, and what the allocator keeps.
    assert!(held < before + 4096, "{before} KB before, {held} KB with 32 MiB on their way");
}

#[test]
fn an_upstream_that_takes_nothing_and_one_that_says_what_it_likes_end_their_own_pairs_alone() {
    // It accepts and reads nothing; and one that answers before it is asked, without end, and vanishes.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let babbles = TcpListener::bind("127.0.0.1:0").unwrap();
    let listening = babbles.try_clone().unwrap();
    thread::spawn(move || {
        for mut stream in listening.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let noise: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
                for _ in 0..64 {
                    let _ = stream.write_all(&noise);
                }
                // A reset, since nothing of what came was read.
                let _ = stream.peek(&mut [0]);
            });
        }
    });
    let to = |listener: &TcpListener| format!("proxy=tcp://127.0.0.1:0?to=tcp://{}", listener.local_addr().unwrap());
    let back = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let good = format!("proxy=tcp://127.0.0.1:0?to={}", url(&back, 0));
    let program = Program::serve(&["--write-timeout=1s", "--workers=1", &to(&deaf), &to(&babbles), &good]);
    let mut others = program.tcp(2);
    let mut unheard = program.tcp(0);
    let floods = thread::spawn(move || while unheard.write_all(&[b'x'; 4096]).is_ok() {});
    let mut heard = program.tcp(1);
    heard.write_all(b"x").unwrap();
    let mut all = Vec::new();
    let end = heard.read_to_end(&mut all);
    assert!(end.is_err() || all.len() == 4 << 20, "half of it looks like all of it: {}", all.len());
    ask(&mut others, b"hi\n", b"echo: hi\n");
    joined(floods);
    ask(&mut others, b"hi\n", b"echo: hi\n");
    assert!(is_reset(proxied(&format!("tcp://{}", nowhere()), "").tcp(0)));
}

#[test]
fn a_pair_that_is_half_over_ends_and_so_does_one_that_is_idle_and_neither_looks_whole() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = deaf.local_addr().unwrap();
    let mut program = Program::serve(&[
        "-v",
        &format!("proxy=tcp://127.0.0.1:0?to=tcp://{to}&half=1s"),
        &format!("proxy=tcp://127.0.0.1:0?to=tcp://{to}&idle=1s"),
    ]);
    let mut asked = program.tcp(0);
    asked.write_all(b"asked").unwrap();
    asked.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(is_reset(asked));
    assert!(program.logged("passed on").contains("forth=5 back=0 end=\"idle\""));
    assert!(is_reset(program.tcp(1)));
    assert!(program.logged("passed on").contains("forth=0 back=0 end=\"idle\""));
}

#[test]
fn questions_of_many_sources_are_answered_and_sources_that_fall_silent_make_room() {
    let back = Program::serve(&["echo=udp://127.0.0.1:0?prefix=back%3A%20"]);
    // Longer than a round takes on a machine that has other work: nobody is forgotten between two questions.
    let to = format!("proxy=udp://127.0.0.1:0?to={}&idle=5s", url(&back, 0));
    let place = Place::new("proxy-sources");
    let program = Program::serve(&[&to, "--max-connections", "400", &format!("admin=unix://{place}")]);
    let at = program.listeners[0].address();
    let asked = |number: u8| {
        let socket = UdpSocket::bind((std::net::Ipv4Addr::new(127, 0, 1, number), 0)).expect("all of 127/8 is here");
        socket.connect(at).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let sources: Vec<_> = (1..=90).map(asked).collect();
    for round in 0..20 {
        for source in &sources {
            source.send(format!("{round}").as_bytes()).unwrap();
            let mut answer = [0; 64];
            let length = source.recv(&mut answer).expect("it is answered");
            assert_eq!(String::from_utf8_lossy(&answer[..length]), format!("back: {round}"));
        }
    }
    // Nobody can make the proxy have more than its share of sources, and once they are idle all of it is there again.
    for number in (0..250).cycle().take(2000) {
        let source = asked(number);
        source.send(b"forged").unwrap();
    }
    let late = asked(251);
    late.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    until(|| {
        late.send(b"late").unwrap();
        late.recv(&mut [0; 64]).is_ok()
    });
    until(|| operating::admin(&place, &["upstreams", "--json"]).output.concat().contains("\"open\":1"));
}

#[test]
fn a_drain_under_load_cuts_nothing() {
    let back = Program::serve(&["echo=tcp://127.0.0.1:0?prefix="]);
    let mut program = proxied(url(&back, 0), "");
    let streams: Vec<_> = (0..20).map(|_| program.tcp(0)).collect();
    let talks: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            thread::spawn(move || {
                for number in 0..200 {
                    let line = format!("{number}\n");
                    ask(&mut stream, line.as_bytes(), line.as_bytes());
                }
                exchange(stream, b"the end")
            })
        })
        .collect();
    for _ in 0..20 {
        program.logged("connection opened");
    }
    program.signal(nix::sys::signal::Signal::SIGTERM);
    for talk in talks {
        assert_eq!(joined(talk), b"the end");
    }
    assert_eq!(program.end().code, Some(0));
}
