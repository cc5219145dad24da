//! Datagrams that a sensor signs: whose they are, and that each counts once.

use crate::process::{Place, Program, ask, output, run};
use ring::hmac;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// A sensor with a key, and the file that knows it.
struct Sensor {
    key: String,
    /// What a shell types to sign with it.
    shell: String,
    file: Place,
}

impl Sensor {
    fn new(test: &str) -> Self {
        let made = run(&["token", "new", "boiler-7", "--datagrams"]);
        let lines = made.log.join("\n");
        let (tables, shell) = lines.split_once("\n\n").expect("it has two parts");
        let key = tables.rsplit('"').nth(1).expect("it is last").to_owned();
        let file = Place::new(test);
        let rights = "rooms = { \"sensors.**\" = [\"write\"] }\n[anonymous]\nrooms = { \"**\" = [\"read\"] }\n";
        std::fs::write(&*file, format!("{tables}\n{rights}")).expect("it can be written");
        let shell = shell.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| line.contains('='));
        let shell = shell.chain(shell_end(&lines)).collect::<Vec<_>>().join("\n");
        Self { key, shell, file }
    }

    fn serve(&self, options: &str) -> Program {
        Program::serve(&[
            "--config",
            &self.file.to_string(),
            &format!("rooms=udp://127.0.0.1:0{options}"),
            "rooms=tcp://127.0.0.1:0?room=sensors.boiler",
        ])
    }

    fn sign(&self, time: u128, what: &str) -> String {
        let key: Vec<u8> =
            (0..32).map(|byte| u8::from_str_radix(&self.key[2 * byte..2 * byte + 2], 16).expect("digits")).collect();
        let content = format!("switchboard-datagram-1\nboiler-7\n{time}\n{what}");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), content.as_bytes());
        let mac = u128::from_be_bytes(tag.as_ref()[..16].try_into().expect("half of it"));
        format!("/by boiler-7 {time} {mac:032x} {what}")
    }
}

/// The last line for a shell, which sends.
fn shell_end(lines: &str) -> Option<&str> {
    lines.lines().find_map(|line| line.strip_prefix("# ").filter(|line| line.starts_with("printf")))
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_millis()
}

/// Somebody who hears what is published.
fn listener(program: &Program) -> BufReader<TcpStream> {
    let mut stream = program.tcp(1);
    ask(&mut stream, b"", b"* you are guest-1 in sensors.boiler; /help lists the commands\n");
    BufReader::new(stream)
}

fn hear(listener: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    listener.read_line(&mut line).expect("it comes");
    line
}

/// Whether the next answer is that to a ping, and so nothing before it had one.
fn is_told_nothing(socket: &UdpSocket) -> bool {
    let mut answer = [0; 100];
    socket.send(b"/ping").expect("it is sent");
    socket.recv(&mut answer).is_ok_and(|length| answer[..length].starts_with(b"* pong"))
}

#[test]
fn a_signed_datagram_counts_once_and_nothing_else_counts() {
    let sensor = Sensor::new("signed.toml");
    let program = sensor.serve("");
    let mut room = listener(&program);
    let (socket, started) = (program.udp(0), now() + 2);
    let publish = |number: u128| sensor.sign(started + number, &format!("/pub sensors.boiler {number}"));
    socket.send(publish(1).as_bytes()).expect("it is sent");
    assert_eq!(hear(&mut room), "[sensors.boiler] boiler-7: 1\n");
    for _ in 0..100 {
        program.udp(0).send(publish(1).as_bytes()).expect("it is sent");
    }
    let good = publish(2);
    let digit = if good.as_bytes()[40] == b'0' { "1" } else { "0" };
    let bad = [
        good.replace("boiler-7", "boiler-8"),
        good.replace(" 2", " 3"),
        format!("{}{digit}{}", &good[..40], &good[41..]),
        sensor.sign(started + 31_000, "/pub sensors.boiler late"),
        sensor.sign(started - 31_000, "/pub sensors.boiler early"),
        "/by boiler-7".to_owned(),
        "/by boiler-7 1 2 3".to_owned(),
    ];
    for bad in &bad {
        socket.send(bad.as_bytes()).expect("it is sent");
    }
    assert!(is_told_nothing(&socket));
    // In another order, and from another port.
    for number in [9, 2, 5] {
        program.udp(0).send(publish(number).as_bytes()).expect("it is sent");
        assert_eq!(hear(&mut room), format!("[sensors.boiler] boiler-7: {number}\n"), "and nothing before it");
    }
    // It may publish there, and nowhere else; and whoever signs nothing may not.
    socket.send(sensor.sign(started + 20, "/pub lobby hi").as_bytes()).expect("it is sent");
    let mut answer = [0; 100];
    let length = socket.recv(&mut answer).expect("it is told");
    assert!(answer[..length].starts_with(b"! not-allowed"), "{}", answer[..length].escape_ascii());
}

#[test]
fn a_datagram_counts_once_though_two_workers_hear_it() {
    let sensor = Sensor::new("signed-workers.toml");
    let program = Program::serve(&[
        "--config",
        &sensor.file.to_string(),
        "--workers",
        "2",
        "rooms=udp://127.0.0.1:0",
        "rooms=tcp://127.0.0.1:0?room=sensors.boiler",
    ]);
    let (mut room, started) = (listener(&program), now() + 2);
    let publish = |number: u128| sensor.sign(started + number, &format!("/pub sensors.boiler {number}"));
    // Which worker hears one is decided by the port that it comes from.
    let sockets: Vec<_> = (0..32).map(|_| program.udp(0)).collect();
    for number in 0..20 {
        let datagram = publish(number);
        for socket in &sockets {
            socket.send(datagram.as_bytes()).expect("it is sent");
        }
        assert_eq!(hear(&mut room), format!("[sensors.boiler] boiler-7: {number}\n"), "and the one before it once");
    }
    assert!(sockets.iter().all(is_told_nothing));
    sockets[0].send(publish(20).as_bytes()).expect("it is sent");
    assert_eq!(hear(&mut room), "[sensors.boiler] boiler-7: 20\n");
}

#[test]
fn a_restart_opens_nothing_and_a_listener_may_hear_nothing_else() {
    let sensor = Sensor::new("restarted.toml");
    let program = sensor.serve("");
    let old = sensor.sign(now() + 2, "/pub sensors.boiler old");
    let mut room = listener(&program);
    program.udp(0).send(old.as_bytes()).expect("it is sent");
    assert_eq!(hear(&mut room), "[sensors.boiler] boiler-7: old\n");
    drop(program);
    let program = sensor.serve("?datagrams=signed");
    let (socket, mut room) = (program.udp(0), listener(&program));
    for frame in [old.as_str(), "/ping", "/join sensors.boiler", "hi"] {
        socket.send(frame.as_bytes()).expect("it is sent");
    }
    socket.send(sensor.sign(now() + 5, "/pub sensors.boiler new").as_bytes()).expect("it is sent");
    assert_eq!(hear(&mut room), "[sensors.boiler] boiler-7: new\n");
    socket.send(sensor.sign(now() + 9, "/ping").as_bytes()).expect("it is sent");
    let mut answer = [0; 100];
    let length = socket.recv(&mut answer).expect("it is told");
    assert!(answer[..length].starts_with(b"* pong"), "the first answer: {}", answer[..length].escape_ascii());
}

#[test]
fn what_a_shell_is_told_to_type_signs_a_datagram() {
    let sensor = Sensor::new("shell.toml");
    let program = sensor.serve("");
    let mut room = listener(&program);
    let port = program.listeners[0].address().port().to_string();
    // It waits: nc -w0 may leave before it has sent anything.
    assert!(sensor.shell.ends_with("| nc -u -w1 127.0.0.1 8081"), "{}", sensor.shell);
    let script = sensor.shell.replace("8081", &port).replace("ROOM", "sensors.boiler");
    let shell = output(Command::new("bash").arg("-c").arg(&script));
    assert!(shell.status.success(), "{script}\n{shell:?}");
    assert_eq!(hear(&mut room), "[sensors.boiler] boiler-7: 21.5\n");
}

#[test]
fn a_key_may_be_in_a_file_of_its_own_and_is_never_shown() {
    let sensor = Sensor::new("keyed.toml");
    let key = Place::new("sensor.key");
    let mut file = std::fs::File::create(&*key).expect("it can be made");
    writeln!(file, "{}", sensor.key).expect("it can be written");
    let text = std::fs::read_to_string(&*sensor.file).expect("it can be read");
    std::fs::write(&*sensor.file, text.replace(&sensor.key, &format!("file:{key}"))).expect("it can be written");
    let printed = run(&["config", "print", "--config", &sensor.file.to_string()]);
    let shown = printed.output.join("\n");
    assert!(shown.contains("datagram-key = \"hidden\"") && !shown.contains(&sensor.key), "{printed:?}");
    let program = sensor.serve("");
    let mut room = listener(&program);
    program.udp(0).send(sensor.sign(now() + 2, "/pub sensors.boiler hi").as_bytes()).expect("it is sent");
    assert_eq!(hear(&mut room), "[sensors.boiler] boiler-7: hi\n");
}

/// What it is told next.
fn told(socket: &UdpSocket) -> String {
    let mut answer = [0; 200];
    let length = socket.recv(&mut answer).expect("it is told");
    String::from_utf8_lossy(&answer[..length]).trim_end().to_owned()
}

#[test]
fn whoever_signs_its_join_is_a_member_by_its_name_and_need_be_heard_only_signed() {
    let sensor = Sensor::new("joined.toml");
    let text = std::fs::read_to_string(&*sensor.file).expect("it can be read");
    std::fs::write(&*sensor.file, text.replace("[\"write\"]", "[\"all\"]")).expect("it can be written");
    for options in ["", "?datagrams=signed"] {
        let program = sensor.serve(options);
        let (socket, other, mut room) = (program.udp(0), program.udp(0), listener(&program));
        let mut time = now() + 2;
        let mut sign = |what: &str| {
            time += 1;
            sensor.sign(time, what)
        };
        let ask = |what: String| {
            socket.send(what.as_bytes()).expect("it is sent");
            told(&socket)
        };
        let cookie = ask(sign("/join sensors.boiler"));
        assert!(cookie.starts_with("cookie="), "{cookie}");
        let join = sign(&format!("/join sensors.boiler {cookie}"));
        // The cookie is for another address, and the signature has not counted by that.
        other.send(join.as_bytes()).expect("it is sent");
        assert!(told(&other).starts_with("cookie="));
        let join = sign(&format!("/join sensors.boiler {cookie}"));
        assert_eq!(ask(join.clone()), "* you are boiler-7 in sensors.boiler; /help lists the commands");
        assert!(told(&socket).starts_with("* [sensors.boiler] you joined at "));
        assert_eq!(hear(&mut room), "* [sensors.boiler] boiler-7 joined\n");
        // The same again counts no more.
        socket.send(join.as_bytes()).expect("it is sent");
        socket.send(b"unsigned").expect("it is sent");
        if options.is_empty() {
            assert_eq!(hear(&mut room), "[sensors.boiler] boiler-7: unsigned\n");
        }
        socket.send(sign("/pub sensors.boiler 21.5").as_bytes()).expect("it is sent");
        assert_eq!(hear(&mut room), "[sensors.boiler] boiler-7: 21.5\n");
        assert_eq!(ask(sign("/whoami")), "* you are boiler-7, in no group");
    }
}
