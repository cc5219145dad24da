use super::*;

/// A file that is there as long as the test.
struct File(PathBuf);

impl File {
    fn new(test: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("switchboard-{}-{test}.toml", std::process::id()));
        std::fs::write(&path, text).expect("the temporary folder takes a file");
        Self(path)
    }

    fn typed(&self) -> Settings {
        Settings { config: Some(self.0.clone()), ..Settings::default() }
    }

    fn set_by(&self) -> SetBy {
        SetBy::File(self.0.clone())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Best effort: it is in the temporary folder.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load(typed: Settings, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
    let loaded = Config::load(typed, &environment, |_| Vec::new());
    loaded.map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn typed() -> Settings {
    Settings::default()
}

#[test]
fn without_anything_given_the_defaults_are_in_force() {
    let config = load(typed(), &[]).expect("the defaults are sound");
    let listen: Vec<_> = config.listen.value.iter().map(|endpoint| endpoint.typed.as_str()).collect();
    assert_eq!(listen, DEFAULT_LISTEN);
    assert_eq!(config.grace.value, Duration::from_secs(30));
    assert_eq!(config.log.value, "info");
    assert_eq!(config.workers.set_by, SetBy::Default);
    let (limits, defaults) = (config.limits(), Limits::default());
    assert_eq!((limits.frame_bytes, limits.connections), (defaults.frame_bytes, defaults.connections));
    assert_eq!(config.timeouts(), Timeouts::default());
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let file = File::new("precedence", "workers = 3\nmax-frame = \"3KiB\"\ngrace = \"3s\"\n");
    let variables = [("SWITCHBOARD_WORKERS", "2"), ("SWITCHBOARD_MAX_FRAME", "2KiB")];
    let config = load(Settings { workers: Some("1".to_owned()), ..file.typed() }, &variables).expect("sound");
    assert_eq!((config.workers.value.number, config.workers.set_by), (1, SetBy::Flag("--workers".to_owned())));
    let variable = SetBy::Environment("SWITCHBOARD_MAX_FRAME".to_owned());
    assert_eq!((config.frame_bytes.value, config.frame_bytes.set_by), (2048, variable));
    assert_eq!((config.grace.value, config.grace.set_by), (Duration::from_secs(3), file.set_by()));
    assert_eq!(config.log_format.set_by, SetBy::Default);
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let file = File::new("named", "workers = 3\n");
    let path = file.0.to_str().expect("the path is UTF-8");
    let config = load(typed(), &[("SWITCHBOARD_CONFIG", path)]).expect("sound");
    assert_eq!((config.workers.value.number, config.workers.set_by), (3, file.set_by()));
}

#[test]
fn every_setting_can_come_from_each_origin() {
    let settings = [
        ("workers", "7"),
        ("max-connections", "70"),
        ("max-connections-per-address", "7"),
        ("max-handshakes-per-address", "7"),
        ("max-frame", "7KiB"),
        ("max-outbox", "70KiB"),
        ("max-memory", "7MiB"),
        ("write-timeout", "7s"),
        ("grace", "7m"),
        ("auth-failures", "7"),
        ("log", "warn"),
        ("audit", "7.jsonl"),
        ("access-log", "full"),
        ("access-log-file", "8.jsonl"),
        ("log-format", "json"),
        ("state-directory", "/"),
        ("data", "7"),
        ("max-data", "7MiB"),
        // Beside a data directory there is none.
        ("cluster", "off"),
        ("cluster-profile", "durable"),
        ("cluster-credentials", "7.creds"),
        ("cluster-ca", "7.pem"),
        ("cluster-json", "a.**,b"),
        ("cluster-publish-as", "bridge"),
        ("durable", "off"),
        ("history-messages", "7"),
        ("history-bytes", "7KiB"),
        ("history-age", "7m"),
    ];
    let is_of_cluster = |name: &str| name.starts_with("cluster");
    let line = |(name, value): &(&str, &str)| format!("{} = \"{value}\"\n", keys::named(name).expect("a key").name);
    let (of_cluster, at_top): (Vec<_>, Vec<_>) = settings.iter().partition(|(name, _)| is_of_cluster(name));
    let [at_top, of_cluster] = [at_top, of_cluster].map(|settings| settings.into_iter().map(line).collect::<String>());
    let file = File::new("each", &format!("listen = [\"echo=tcp://127.0.0.1:7\"]\n{at_top}[cluster]\n{of_cluster}"));
    let from_file = load(file.typed(), &[]).expect("sound").print();

    let names = settings.map(|(name, value)| (name.to_uppercase().replace('-', "_"), value));
    let mut variables: Vec<_> = names.iter().map(|(name, value)| (format!("SWITCHBOARD_{name}"), *value)).collect();
    variables.push(("SWITCHBOARD_LISTEN".to_owned(), "echo=tcp://127.0.0.1:7"));
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let from_environment = load(typed(), &variables).expect("sound").print();

    let text = |value: &str| Some(value.to_owned());
    let flags = Settings {
        listen: vec!["echo=tcp://127.0.0.1:7".to_owned()],
        config: None,
        content: None,
        workers: text("7"),
        max_connections: text("70"),
        max_connections_per_address: text("7"),
        max_handshakes_per_address: text("7"),
        max_frame: text("7KiB"),
        max_outbox: text("70KiB"),
        max_memory: text("7MiB"),
        write_timeout: text("7s"),
        grace: text("7m"),
        audit: text("7.jsonl"),
        access_log: text("full"),
        access_log_file: text("8.jsonl"),
        auth_failures: text("7"),
        log_format: text("json"),
        state_directory: text("/"),
        data: text("7"),
        max_data: text("7MiB"),
        cluster: text("off"),
        cluster_profile: text("durable"),
        cluster_credentials: text("7.creds"),
        cluster_ca: text("7.pem"),
        cluster_json: text("a.**,b"),
        cluster_publish_as: text("bridge"),
        durable: text("off"),
        history_messages: text("7"),
        history_bytes: text("7KiB"),
        history_age: text("7m"),
        verbose: 0,
        quiet: true,
    };
    let from_flags = load(flags, &[]).expect("sound").print();

    let values = |printed: &str| {
        let lines = printed.lines().filter_map(|line| line.split_once("  #")).map(|(value, _)| value.trim().to_owned());
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(values(&from_file).len(), 29);
    assert_eq!(values(&from_file), values(&from_environment));
    assert_eq!(values(&from_file), values(&from_flags));
    for printed in [from_file, from_environment, from_flags] {
        assert!(!printed.contains("# default"), "{printed}");
    }
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let variables = [
        ("SWITCHBOARD_LISTEN", "echo=tcp://127.0.0.1:0?prefix=%22 echo=unix:///run/x.sock"),
        ("SWITCHBOARD_MAX_CONNECTIONS_PER_ADDRESS", "off"),
        ("SWITCHBOARD_WRITE_TIMEOUT", "off"),
        ("SWITCHBOARD_MAX_FRAME", "1000"),
    ];
    let values = |printed: String| printed.parse::<toml::Table>().expect("it is TOML");
    let printed = load(typed(), &variables).expect("sound").print();
    let file = File::new("again", &printed);
    let again = load(file.typed(), &[]).expect("sound").print();
    assert_eq!(values(printed), values(again));
}

#[test]
fn what_is_printed_as_an_object_says_the_same_and_whence_it_is() {
    let variables = [("SWITCHBOARD_GRACE", "7s"), ("SWITCHBOARD_MAX_CONNECTIONS", "70")];
    let file = File::new(
        "object",
        "[tokens.alice]\nhash = \"sha256:00000000000000000000000000000000000000000000000000000000000000aa\"\nexpires = 2027-06-30\n\
         [anonymous]\nnames = [\"visitor-*\"]\n",
    );
    let config = load(file.typed(), &variables).expect("sound");
    let object: serde_json::Value = serde_json::from_str(&config.print_json()).expect("it is an object");
    assert_eq!((&object["settings"]["grace"], &object["settings"]["max-connections"]), (&"7s".into(), &70.into()));
    assert_eq!(object["from"]["grace"], "environment SWITCHBOARD_GRACE");
    assert_eq!(object["from"]["workers"], "default");
    let alice = &object["settings"]["tokens"]["alice"];
    assert_eq!((&alice["hash"], &alice["expires"]), (&"hidden".into(), &"2027-06-30T00:00:00Z".into()));
    assert_eq!(object["settings"]["anonymous"]["names"][0], "visitor-*");
}

#[test]
fn the_nodes_that_share_rooms_have_a_table() {
    let file = |text: &str| File::new("cluster", text);
    let of_list = file("[cluster]\nservers = [\"nats://a:1\", \"tls://b:2\"]\nprofile = \"file\"\n");
    let config = load(of_list.typed(), &[("SWITCHBOARD_CLUSTER_CA", "7.pem")]).expect("sound");
    let printed = config.print();
    let (_, table) = printed.split_once("\n[cluster]\n").expect("it is behind all others");
    let lines: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let path = of_list.0.display();
    let expected = [
        format!("servers = [\"nats://a:1\", \"tls://b:2\"] # file {path}"),
        format!("profile = \"file\" # file {path}"),
        "credentials = \"off\" # default".to_owned(),
        "ca = \"7.pem\" # environment SWITCHBOARD_CLUSTER_CA".to_owned(),
    ];
    assert_eq!(lines[..4], expected);
    let object: serde_json::Value = serde_json::from_str(&config.print_json()).expect("it is an object");
    assert_eq!(object["settings"]["cluster"]["servers"][1], "tls://b:2");
    assert_eq!(object["from"]["cluster.credentials"], "default");
    assert_eq!(config.told()["changed_by"]["cluster.servers"], "restart");
    let other = load(file("[cluster]\nservers = \"nats://a:1,tls://b:2\"\n").typed(), &[]).expect("sound");
    let changes = InForce::of(&config).changes(&InForce::of(&other));
    assert_eq!((changes.live, changes.restart.join(" ")), (vec![], "cluster.profile cluster.ca".to_owned()));
    let alone = load(file("[cluster]\nservers = []\n").typed(), &[]).expect("sound");
    assert!(alone.cluster.servers.value.is_empty());
}

#[test]
fn what_is_wrong_with_the_table_of_nodes_is_told_where_it_stands() {
    let told = |text: &str| {
        let faults = load(File::new("cluster-faults", text).typed(), &[]).expect_err("faulty");
        let place = |fault: &String| fault.split_once(".toml:").map_or(fault.clone(), |(_, told)| told.to_owned());
        faults.iter().map(place).collect::<Vec<_>>()
    };
    let wrong = told("[cluster]\nservers = [\"nats://a:1\", \"b:2\"]\nprofile = \"disk\"\nprofil = 1\n");
    assert!(wrong[0].starts_with("4:1: unknown key `profil` of [cluster]; known: servers, profile,"), "{wrong:#?}");
    assert!(wrong[1].starts_with("2:12: cluster.servers = `nats://a:1,b:2` is no list of nats-servers"), "{wrong:#?}");
    let plain = told("[cluster]\njson = [\"a b\"]\npublish-as = \"http\"\n");
    assert!(plain[0].starts_with("2:9: cluster.json = `a b` is no list of globs of rooms: "), "{plain:#?}");
    assert!(plain[1].starts_with("3:14: cluster.publish-as = `http` is not a name, nor off: "), "{plain:#?}");
    assert_eq!(wrong[2], "3:11: cluster.profile = `disk` is neither memory, nor file, nor durable");
    let at_top = told("cluster = \"nats://a:1\"\ncluster-ca = \"7.pem\"\n");
    assert_eq!(at_top[0], "1:1: `cluster` is \"nats://a:1\"; write [cluster]");
    assert!(at_top[1].ends_with("; it is `ca` of [cluster]"), "{at_top:#?}");
}

#[test]
fn a_frame_that_fits_no_envelope_is_refused_beside_a_cluster() {
    let of = |cluster: &str, frame: &str| {
        let faults = load(typed(), &[("SWITCHBOARD_CLUSTER", cluster), ("SWITCHBOARD_MAX_FRAME", frame)]).err();
        faults.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!((of("off", "1MiB"), of("nats://h", "255KiB")), (String::new(), String::new()));
    let told = of("nats://h", "256KiB");
    let what = "where there is a cluster, a message has at most 261882 bytes";
    assert_eq!(told, format!("environment SWITCHBOARD_MAX_FRAME: {what}"));
}

#[test]
fn what_is_served_all_the_same_is_warned_of() {
    let file = File::new(
        "warned",
        "[tokens.alice]\nhash = \"sha256:00000000000000000000000000000000000000000000000000000000000000aa\"\nexpires = 2027-06-30\n",
    );
    let config = load(file.typed(), &[]).expect("sound");
    let end = SystemTime::UNIX_EPOCH + Duration::from_hours(503_976);
    assert_eq!(config.warnings(end - Duration::from_hours(24 * 15)), [] as [&str; 0]);
    let soon = config.warnings(end - Duration::from_hours(24));
    assert_eq!(soon, ["tokens.alice: it expires in 24 h, at 2027-06-30T00:00:00Z"]);
}

#[test]
fn upstreams_are_looked_at_whether_a_listener_names_them_or_not() {
    let wrong = |text: &str| load(File::new("upstreams", text).typed(), &[]).err().unwrap_or_default();
    let db = "[upstreams.db]\nto = [\"tcp://10.0.0.5:1\", \"tcp://10.0.0.6:1\"]\n";
    let listener = "[[listener]]\nurl = \"proxy=tcp://127.0.0.1:0\"\nto = \"db\"\n";
    for (text, expected) in [
        (db.to_owned(), None),
        (format!("{db}{listener}"), None),
        (format!("{db}max = \"off\"\nhalf = \"5s\"\nsend-proxy = \"v2\"\n{listener}"), None),
        ("[upstreams.dns]\nto = \"udp://10.0.0.5:53\"\nidle = \"5s\"\n".to_owned(), None),
        (
            format!("{db}weights = [\"3\"]\n"),
            Some("3:12: option `weights`: `3` is not one number from 1 to 256 for each"),
        ),
        (
            format!("{db}weights = [\"3\"]\n{listener}"),
            Some("3:12: option `weights`: `3` is not one number from 1 to 256 for each"),
        ),
        (format!("{db}{listener}max = 5\n[upstreams.x]\nmax = 5\n"), Some("[upstreams.x] has no `to`")),
        (format!("{db}max = 4\n{listener}max = 5\n"), Some("option `max` is given twice")),
        (
            listener.to_owned() + "[upstreams.dbs]\nto = \"tcp://a:1\"\n",
            Some("there is no [upstreams.db]; did you mean `dbs`?"),
        ),
        (format!("{db}[upstreams.\"a b\"]\nto = \"tcp://a:1\"\n"), Some("not letters, digits,")),
    ] {
        let told = wrong(&text);
        assert_eq!(told.len(), usize::from(expected.is_some()), "{text}\n{told:?}");
        assert!(expected.is_none_or(|expected| told[0].contains(expected)), "{text}\n{told:?}");
    }
}

#[test]
fn all_faults_of_all_origins_come_at_once() {
    let file = File::new(
        "faults",
        "verbose = true\nwrokers = 3\nmax-frame = true\ngrace = \"soon\"\nlisten = [\"echo=tcp://h\", 5]\n",
    );
    let settings = Settings {
        listen: vec!["echo".to_owned(), "echo=tcp://h:1".to_owned(), "echo=tcp://h:1?prefix=".to_owned()],
        workers: Some("many".to_owned()),
        ..file.typed()
    };
    let mut faults =
        load(settings, &[("SWITCHBOARD_MAX_OUTBOX", "0"), ("SWITCHBOARD_WORKERS", "")]).expect_err("faulty");
    faults.sort();
    let path = file.0.display();
    let known = "listen, workers, max-connections, max-connections-per-address, max-handshakes-per-address, max-frame, \
                 max-outbox, max-memory, write-timeout, grace, auth-failures, log, audit, access-log, access-log-file, log-format, state-directory, data, max-data, durable, history-messages, history-bytes, history-age, cluster, listener, tokens, groups, anonymous, rooms, jwt, callout, names, ban, upstreams";
    let mut expected = [
        "--workers: `many` is not a number from 1 to 1024, nor auto".to_owned(),
        "echo: not SERVICE=URL, as in echo=tcp://127.0.0.1:8080".to_owned(),
        "echo=tcp://h:1?prefix=: the same listener as echo=tcp://h:1".to_owned(),
        "environment SWITCHBOARD_MAX_OUTBOX: `0` is not a size such as 512, 64KiB, 1MiB or 2GiB".to_owned(),
        format!("file {path}:5:27: 5: not SERVICE=URL, as in echo=tcp://127.0.0.1:8080"),
        format!("file {path}:5:11: echo=tcp://h: missing port, as in h:8080 (0 picks a free one)"),
        format!("file {path}:3:13: `max-frame` is true, neither a string nor a whole number"),
        format!("file {path}:4:9: grace = `soon` is not a duration such as 500ms, 30s, 5m or 1h"),
        format!("file {path}:1:1: unknown key `verbose`; known: {known}; for -v write log = \"debug\""),
        format!("file {path}:2:1: unknown key `wrokers`; known: {known}; did you mean `workers`?"),
    ];
    expected.sort();
    assert_eq!(faults, expected);
}

#[test]
fn what_a_stronger_origin_overrides_is_checked_too() {
    let settings = Settings { workers: Some("1".to_owned()), ..typed() };
    let faults = load(settings, &[("SWITCHBOARD_WORKERS", "x")]).expect_err("faulty");
    assert_eq!(faults, ["environment SWITCHBOARD_WORKERS: `x` is not a number from 1 to 1024, nor auto"]);
}

#[test]
fn a_file_that_is_no_toml_is_one_line_with_its_place() {
    let file = File::new("toml", "workers = 1\n\ngrace = = 5\n");
    let faults = load(file.typed(), &[]).expect_err("faulty");
    let start = format!("file {}:3:9: ", file.0.display());
    assert!(faults.len() == 1 && faults[0].starts_with(&start) && !faults[0].contains('\n'), "{faults:?}");
}

#[test]
fn no_fault_repeats_a_password() {
    let file = File::new(
        "password",
        "cluster = \"nats://u:SECRET@h:4222\"\nworkers = [\"nats://u:SECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRET@h\"]\n\
         grace = \"nats://u:SECRET@h\"\nlisten = [\"chat=tcp://u:SECRET@h:1\", \"proxy=tcp://127.0.0.1:1?to=tcp://u:SECRET@h:1\"]\n\
         [[listener]]\nurl = \"proxy=tcp://127.0.0.1:2\"\nto = \"tcp://u:SECRET@h:1\"\n\
         [upstreams.db]\nto = [\"tcp://u:SECRET@h:1\"]\n",
    );
    let faults = load(file.typed(), &[("SWITCHBOARD_CLUSTER", "nats://u:SECRET@h:4222")]).expect_err("faulty");
    assert!(faults.iter().all(|fault| !fault.contains("SECRET")), "{faults:#?}");
    assert_eq!(faults.iter().filter(|fault| fault.contains("://…@h")).count(), 9, "{faults:#?}");
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let settings = Settings { config: Some("/nonexistent/switchboard.toml".into()), ..typed() };
    let faults = load(settings, &[]).expect_err("faulty");
    let expected = "file /nonexistent/switchboard.toml: No such file or directory (os error 2) (from flag --config)";
    assert_eq!(faults, [expected]);
}

#[test]
fn limits_beyond_the_machine_are_faults_beside_the_others() {
    let settings = Settings { workers: Some("x".to_owned()), ..typed() };
    let faults = Config::load(settings, &HashMap::new(), |_| vec!["too many".to_owned()]).expect_err("faulty");
    assert_eq!(faults.len(), 2);
    assert_eq!(faults[1], Fault::new(SetBy::Limits, "too many".to_owned()));
    assert_eq!(faults[1].to_string(), "max-connections: too many");
}

#[test]
fn no_listeners_are_a_fault() {
    let file = File::new("none", "listen = []\n");
    let faults = load(file.typed(), &[]).expect_err("faulty");
    assert_eq!(faults, [format!("file {}:1:1: no listeners", file.0.display())]);
}

#[test]
fn a_listener_that_names_nobody_is_a_fault_of_its_origin() {
    let listener = "rooms=unix:///never.sock?peers=login";
    let fault = "rooms=unix:///never.sock: option `peers`: names nobody, as the file has no [names.\"GLOB\"]";
    let file = File::new("nameless", &format!("listen = [\"{listener}\"]\n"));
    assert_eq!(load(file.typed(), &[]).expect_err("faulty"), [format!("file {}: {fault}", file.0.display())]);
    let faults = load(typed(), &[("SWITCHBOARD_LISTEN", listener)]).expect_err("faulty");
    assert_eq!(faults, [format!("environment SWITCHBOARD_LISTEN: {fault}")]);
    let argument = Settings { listen: vec![listener.to_owned()], ..typed() };
    assert_eq!(load(argument, &[]).expect_err("faulty"), [fault]);
}

#[test]
fn other_authorities_in_the_same_file_are_a_change() {
    let authority = || {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
    };
    let ca = File::new("authorities", &authority());
    let path = ca.0.display();
    let file = File::new(
        "asked",
        &format!(
            "[jwt.x]\nissuer = \"x\"\naudience = \"any\"\nalgorithms = [\"ES256\"]\nkeys = \"https://a.test/\"\nkeys-ca = \"{path}\"\n\
             [callout]\nurl = \"https://a.test/\"\nca = \"{path}\"\n"
        ),
    );
    let read = || InForce::of(&load(file.typed(), &[]).expect("sound"));
    let before = read();
    assert_eq!(before.changes(&read()), Changes::default());
    std::fs::write(&ca.0, authority()).expect("it takes others");
    assert_eq!(before.changes(&read()).live, ["jwt.x", "callout"]);
}

#[test]
fn an_empty_list_is_taken_where_it_is_the_default_alone() {
    let listener = |line: &str| format!("[[listener]]\nurl = \"rooms=http://127.0.0.1:8082\"\n{line}\n");
    let file = File::new("empty", &listener("origins = []"));
    let config = load(file.typed(), &[]).expect("sound");
    assert_eq!(config.listen.value[0].typed, "rooms=http://127.0.0.1:8082");
    // Without proxies everybody is let in, and the other way round.
    let file = File::new("empty", &listener("proxy-from = []"));
    assert_eq!(load(file.typed(), &[]).expect_err("faulty").len(), 1);
}

#[test]
fn an_address_may_have_as_many_connections_as_is_said() {
    let limit = |text| load(typed(), &[("SWITCHBOARD_MAX_CONNECTIONS_PER_ADDRESS", text)]).expect("sound");
    assert_eq!(limit("5").limits().connections_per_address, Some(5));
    assert_eq!(limit("off").limits().connections_per_address, Some(usize::MAX));
    assert_eq!(limit("auto").limits().connections_per_address, None);
}

/// A variable that nobody reads is a setting that somebody believes in.
#[test]
fn a_variable_that_is_mistyped_is_a_fault() {
    let variables = [
        ("SWITCHBOARD_MAX_FRAM", "1MiB"),
        ("SWITCHBOARD_COLOUR", "red"),
        ("SWITCHBOARD_EMPTY", ""),
        ("SWITCHBOARD_SERVICE_HOST", "10.0.0.1"),
        ("SWITCHBOARD_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("SWITCHBOARDING", "x"),
    ];
    let faults = load(typed(), &variables).expect_err("faulty");
    let expected = [
        "environment SWITCHBOARD_COLOUR: no such setting",
        "environment SWITCHBOARD_MAX_FRAM: no such setting; did you mean `SWITCHBOARD_MAX_FRAME`?",
    ];
    assert_eq!(faults, expected);
}

#[test]
fn listeners_between_commas_are_told_to_be_between_spaces() {
    for (typed_list, shown) in [("a,b", "a b"), ("echo=tcp://h:1,echo=tcp://h:2", "echo=tcp://h:1 echo=tcp://h:2")] {
        let faults = load(typed(), &[("SWITCHBOARD_LISTEN", typed_list)]).expect_err("faulty");
        let expected = format!("environment SWITCHBOARD_LISTEN: separate listeners with spaces, not commas: {shown}");
        assert_eq!(faults, [expected]);
    }
    let origins = "rooms=http://127.0.0.1:1?origins=https://a.test,https://b.test";
    assert!(load(typed(), &[("SWITCHBOARD_LISTEN", origins)]).is_ok());
}

/// A file that `config print` wrote must not fail on a smaller machine.
#[test]
fn what_depends_on_the_machine_is_auto() {
    let config = load(typed(), &[("SWITCHBOARD_WORKERS", "auto")]).expect("sound");
    let printed = config.print();
    for name in ["workers", "max-connections", "max-memory"] {
        let line = printed.lines().find(|line| line.starts_with(&format!("{name} = "))).expect("it is printed");
        assert!(line.starts_with(&format!("{name} = \"auto\" ")) && line.ends_with(" here"), "{line}");
    }
    assert_eq!(config.limits().connections, Limits::default().connections);
    let given = load(typed(), &[("SWITCHBOARD_MAX_MEMORY", "64MB")]).expect_err("faulty");
    let expected = "not a size such as 512, 64KiB, 1MiB or 2GiB, nor auto; did you mean 64MiB?";
    assert_eq!(given, [format!("environment SWITCHBOARD_MAX_MEMORY: `64MB` is {expected}")]);
    let grace = load(typed(), &[("SWITCHBOARD_GRACE", "5min")]).expect_err("faulty");
    assert!(grace[0].ends_with("or 1h; did you mean 5m?"), "{grace:?}");
}
