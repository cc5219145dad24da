//! Real proxies in front, with the lines that docs/operations.md has for them. Where one is not installed, its test says so and
//! shows nothing.

use super::{Client, HTTP, id, request};
use crate::process::{PATIENCE, Place, Program, installed, output, until};
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A proxy that runs, and is killed when the test is over.
struct Proxy {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The lines that are documented for one, with the server's address and the proxy's in their places.
fn documented(language: &str, server: &str, proxy: &str) -> String {
    let page = include_str!("../../../../docs/operations.md");
    let (_, rest) = page.split_once(&format!("```{language}\n")).expect("there are lines for it");
    let (lines, _) = rest.split_once("```").expect("they end");
    lines.replace("127.0.0.1:8082", server).replace(":443 ssl crt /etc/ssl/chat.pem", proxy)
}

/// A server that knows pages of the proxy, which will listen on this port.
fn server() -> (Program, u16) {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let port = free.expect("a port is free").port();
    (Program::serve(&["-v", &format!("{HTTP}?origins=http://chat.example.org:{port}&forwarded-from=127.0.0.1")]), port)
}

/// Starts one on `port`, with the configuration that `write` makes of its folder.
fn start(program: &Path, port: u16, arguments: &[&str], write: impl FnOnce(&Path) -> String) -> Proxy {
    let folder = std::env::temp_dir().join(format!("switchboard-{}-proxy-{port}", std::process::id()));
    fs::create_dir_all(&folder).expect("it can be made");
    let file = folder.join("configuration");
    fs::write(&file, write(&folder)).expect("it can be written");
    let mut command = Command::new(program);
    command.args(arguments).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
    let mut proxy = Proxy { child: command.spawn().expect("it starts"), folder, port };
    until(|| {
        assert!(proxy.child.try_wait().expect("it can be asked").is_none(), "it does not take these lines");
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    });
    proxy
}

impl Proxy {
    fn connect(&self) -> Client {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Client::over(stream)
    }

    /// A request as a browser sends it for the page that came from here.
    fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Client {
        let place = format!("chat.example.org:{}", self.port);
        let origin = format!("origin: http://{place}");
        let mut client = self.connect();
        let request = request(method, path, &[&[&*origin, "accept-encoding: gzip"], headers].concat(), body);
        client.send(request.replace("host: localhost", &format!("host: {place}")));
        client
    }
}

/// The page, its script, requests, streams and WebSockets of a page that came by way of a proxy.
fn all_of_the_page_works_through(proxy: &Proxy) {
    for path in ["/", "/page.js", "/switchboard.js", "/rooms"] {
        assert_eq!(proxy.send("GET", path, &[], "").head().status, 200, "{path}");
    }
    for (path, accept) in [("events", "text/event-stream"), ("messages?follow=1&limit=0", "*/*")] {
        let mut reader = proxy.send("GET", &format!("/rooms/lobby/{path}"), &[&format!("accept: {accept}")], "");
        let head = reader.head();
        assert_eq!((head.status, head.header("content-encoding")), (200, None), "{path}");
        // It comes before there is more.
        let joined = reader.streamed("}\n");
        assert!(joined.contains("you-joined"), "{joined}");
        let published = proxy.send("POST", "/rooms/lobby", &[], "hi").answer();
        assert_eq!(published.status, 200, "{}", published.body);
        assert!(reader.streamed("\"hi\"}\n").contains(id(&published.body)));
    }
    let upgrade = [
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let mut socket = proxy.send("GET", "/ws?name=alice", &upgrade, "");
    assert_eq!(socket.head().status, 101);
    // Behind the head of its frame.
    socket.take(2);
    socket.until("{\"event\":\"welcome\",\"name\":\"alice\"");
}

#[test]
fn the_lines_for_nginx_are_enough() {
    let Some(nginx) = installed("nginx", "nginx") else { return };
    let (mut program, port) = server();
    let lines = documented("nginx", &program.listeners[0].address().to_string(), "");
    let (location, map) = lines.split_once("# Outside of server { }:").expect("it has two parts");
    let proxy = start(&nginx, port, &["-e", "stderr", "-c"], |folder| {
        let folder = folder.display();
        let own = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let own = own.map(|kind| format!("{kind}_temp_path {folder}/{kind};\n")).concat();
        format!(
            "daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\ngzip on;\n\
             gzip_proxied any;\n{own}{map}\nserver {{\nlisten 127.0.0.1:{port};\n{location}\n}}\n}}\n"
        )
    });
    all_of_the_page_works_through(&proxy);
    a_client_cannot_choose_its_address(&proxy, &mut program);
}

/// What a client sends itself is not what counts.
fn a_client_cannot_choose_its_address(proxy: &Proxy, program: &mut Program) {
    let place = format!("chat.example.org:{}", proxy.port);
    let (host, url) =
        (format!("host: {place}"), format!("http://127.0.0.1:{}/rooms/lobby/events?since=wrong", proxy.port));
    // From another address than the proxy's, which is trusted.
    let lie =
        ["--silent", "--interface", "127.0.0.2", "--header", &host, "--header", "x-forwarded-for: 192.0.2.66", &url];
    let refused = output(Command::new("curl").args(lie));
    assert!(refused.stdout.starts_with(b"{\"error\":\"bad-argument\""), "{refused:?}");
    let logged = program.logged("request refused");
    // A request has no port, other than a connection.
    assert!(logged.contains("peer.addr=127.0.0.2:0 "), "{logged}");
}

#[test]
fn the_lines_for_haproxy_are_enough() {
    let Some(haproxy) = installed("haproxy", "haproxy") else { return };
    let (mut program, port) = server();
    let lines = documented("haproxy", &program.listeners[0].address().to_string(), &format!("127.0.0.1:{port}"));
    let proxy = start(&haproxy, port, &["-db", "-f"], |_| {
        // It compresses what it is not asked to leave alone.
        let compression = "compression algo gzip\n    compression type text/event-stream application/x-ndjson";
        lines.replace("mode http\n", &format!("mode http\n    {compression}\n"))
    });
    all_of_the_page_works_through(&proxy);
    a_client_cannot_choose_its_address(&proxy, &mut program);
}

#[test]
fn the_lines_for_caddy_are_enough() {
    let Some(caddy) = installed("caddy", "caddy") else { return };
    let (mut program, port) = server();
    let lines = documented("caddy", &program.listeners[0].address().to_string(), "");
    let lines = lines.replace("chat.example.org", &format!("http://chat.example.org:{port}"));
    let lines = lines.replace("    reverse_proxy", "    encode gzip\n    reverse_proxy");
    // It keeps what it is told in the user's folder for that, unless there is another one.
    let place = Place::folder("caddy");
    let settings = [format!("XDG_CONFIG_HOME={place}"), format!("XDG_DATA_HOME={place}"), caddy.display().to_string()];
    let arguments = settings.iter().map(String::as_str).chain(["run", "--adapter", "caddyfile", "--config"]);
    let proxy = start(Path::new("env"), port, &arguments.collect::<Vec<_>>(), |_| {
        format!("{{\nadmin off\nauto_https off\nlog {{\nlevel FATAL\n}}\n}}\n{lines}")
    });
    all_of_the_page_works_through(&proxy);
    a_client_cannot_choose_its_address(&proxy, &mut program);
}

#[test]
fn lines_by_haproxy_are_their_clients_in_both_versions_of_the_header() {
    let Some(haproxy) = installed("haproxy", "haproxy") else { return };
    for version in ["send-proxy-v2", "send-proxy"] {
        let mut program = Program::serve(&["-v", "rooms=tcp://127.0.0.1:0?proxy-from=127.0.0.1"]);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.expect("a port is free").port();
        let server = program.listeners[0].address().to_string();
        let lines = documented("haproxy-lines", "", "").replace("127.0.0.1:8081", &server);
        let lines = lines.replace(":7000", &format!("127.0.0.1:{port}")).replace("send-proxy-v2", version);
        let proxy = start(&haproxy, port, &["-db", "-f"], |_| lines);
        let mut client = proxy.connect();
        let own = client.stream.local_addr().expect("it has one");
        client.send("hi\n/quit\n");
        client.until("* bye\n");
        // Its checks are connections of its own.
        until(|| program.logged("connection opened").contains(&format!("peer.addr={own} ")));
    }
}
