//! What a message costs `switchboard bench`, and what it costs a generator that is written the usual way.

#[path = "../../../../load/examples/naive.rs"]
#[allow(dead_code, reason = "an example's main")]
mod naive;

use super::measure;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

const CONNECTIONS: usize = 10;
const IN_FLIGHT: usize = 16;

/// Echoes bytes from threads of its own, and so costs neither of them anything.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..read]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// CPU time and not time: others that are busy delay both, and cost neither much.
#[test]
fn a_message_costs_a_third_at_most_of_what_it_costs_a_task_for_each_connection() {
    let address = echo();
    let naive = naive::load(&address, CONNECTIONS, IN_FLIGHT, 1.0).expect("it is answered");
    let naive = naive.cpu * 1e6 / naive.replies as f64;
    let [connections, in_flight] = [CONNECTIONS, IN_FLIGHT].map(|count| count.to_string());
    let options = ["--rate", "max", "--threads", "1", "--connections", &connections, "--in-flight", &in_flight];
    let report = measure("echo", &format!("tcp://{address}"), &options);
    let own = report["generator"]["cpu_us_per_message"].as_f64().expect("a time");
    assert!(own * 3.0 <= naive, "{own} µs, and {naive} µs for a task for each connection");
}
