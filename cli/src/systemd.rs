//! What systemd and the program tell each other: how far it is, that it lives, and sockets that are open already.
//!
//! Without systemd nothing of this happens. Knows no service: a socket goes to the listener that has its address.

mod notify;
pub(crate) mod sockets;

pub(crate) use notify::Supervisor;
pub(crate) use sockets::HandedOver;

use std::collections::HashMap;
use std::ffi::OsString;

/// What the admin socket is called in the directory that systemd makes for a running service.
const ADMIN_SOCKET: &str = "admin.sock";

/// Where the admin service listens under systemd, whatever else is said: `ExecReload=` asks there. A service may be given several
/// directories (`RuntimeDirectory=`, systemd.exec(5)); the first is meant.
pub(crate) fn admin_socket(environment: &HashMap<String, OsString>) -> Option<String> {
    let given = environment.get("RUNTIME_DIRECTORY")?.to_str()?;
    let directory = given.split(':').next().filter(|directory| directory.starts_with('/'))?;
    Some(format!("{directory}/{ADMIN_SOCKET}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_socket_is_in_the_first_directory_that_systemd_gives() {
        let socket = |given: &str| admin_socket(&[("RUNTIME_DIRECTORY".to_owned(), given.into())].into());
        assert_eq!(socket("/run/switchboard"), Some("/run/switchboard/admin.sock".into()));
        assert_eq!(socket("/run/a:/run/b"), Some("/run/a/admin.sock".into()));
        assert_eq!((socket(""), socket("a"), admin_socket(&HashMap::new())), (None, None, None));
    }
}
