//! Options from flags, the environment and a file: which one goes before which, what is said of
//! mistakes, and that what `--print-config` prints is a configuration itself.

use std::path::Path;
use std::process::Command;

use crate::common::Program;
use crate::common::temp_dir::TempDir;

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_server-example");

/// What an option is set to, or else what stands for its value, and where that comes from.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    value: String,
    from: String,
}

/// What the program says of its configuration.
fn print_config(arguments: &[&str], environment: &[(&str, &str)]) -> Result<String, String> {
    let mut command = Command::new(EXECUTABLE);
    // nothing is served, so nothing is kept either
    command.env_remove("CHATPROTO_DATA");
    command.args(arguments).arg("--print-config").envs(environment.iter().copied());
    let (code, output, errors) = Program::spawn(command).end();
    match code {
        Some(0) => {
            assert_eq!(errors, [""; 0]);
            Ok(output.join("\n") + "\n")
        }
        code => {
            assert_eq!((code, output), (Some(2), vec![]));
            Err(errors.join("\n"))
        }
    }
}

#[track_caller]
fn setting(text: &str, name: &str) -> Setting {
    let starts = [format!("{name} = "), format!("# {name} = ")];
    let line = text
        .lines()
        .find_map(|line| starts.iter().find_map(|start| line.strip_prefix(start.as_str())));
    let line = line.unwrap_or_else(|| panic!("{name} is not in {text}"));
    let (value, from) = line.split_once("  # ").expect("a comment says where it comes from");
    Setting { value: value.to_owned(), from: from.to_owned() }
}

/// The mistake in a file with these lines, of which the path is shown as `FILE`.
#[track_caller]
fn mistake(lines: &str) -> String {
    let dir = TempDir::new();
    let file = dir.file("chat.toml", lines);
    let error = print_config(&["--config", &file], &[]).expect_err(lines);
    error.replace(&file, "FILE").strip_prefix("server-example: ").expect("one sentence").to_owned()
}

#[test]
fn a_flag_goes_before_the_environment_that_before_the_file_that_before_the_default() {
    /// A value as it is written, and as it is then shown.
    type Value = (&'static str, &'static str);
    /// A name, its default, and a value each for the file, the variable and the flag.
    const OPTIONS: [(&str, &str, [Value; 3]); 8] = [
        (
            "listen",
            r#""127.0.0.1:65432""#,
            [
                (r#""0.0.0.0""#, r#""0.0.0.0""#),
                ("[::1]:0", r#""[::1]:0""#),
                ("localhost:0", r#""localhost:0""#),
            ],
        ),
        ("threads", r#""auto""#, [("1", "1"), ("2", "2"), ("3", "3")]),
        (
            "log",
            r#""info""#,
            [(r#""warn""#, r#""warn""#), ("error", r#""error""#), ("off", r#""off""#)],
        ),
        (
            "max-frame",
            r#""64KiB""#,
            [("131_072", "131072"), ("128k", r#""128k""#), ("1000", "1000")],
        ),
        ("rate", "100", [(r#""off""#, r#""off""#), ("7", "7"), ("off", r#""off""#)]),
        ("drain", r#""10s""#, [(r#""1.5s""#, r#""1.5s""#), ("2s", r#""2s""#), ("3s", r#""3s""#)]),
        ("announce", "false", [("true", "true"), ("off", "false"), ("true", "true")]),
        (
            "ban",
            r#"["TARGET"]"#,
            [
                (r#"["a b", "192.0.2.0/24"]"#, r#"["a b", "192.0.2.0/24"]"#),
                (" c , d e,", r#"["c", "d e"]"#),
                ("f", r#"["f"]"#),
            ],
        ),
    ];
    let dir = TempDir::new();
    for (name, default, [in_file, in_environment, as_flag]) in OPTIONS {
        let file = dir.file(&format!("{name}.toml"), format!("\n{name} = {}\n", in_file.0));
        let variable = format!("CHATPROTO_{}", name.to_uppercase().replace('-', "_"));
        let variables = [(variable.as_str(), in_environment.0)];
        let (config, flag) = (["--config", file.as_str()], format!("--{name}={}", as_flag.0));
        let both = ["--config", file.as_str(), flag.as_str()];
        let from_default =
            if matches!(default, "N" | r#"["TARGET"]"#) { "not set" } else { "default" };
        let (from_file, from_variable) =
            (format!("file {file}:2"), format!("environment {variable}"));
        for (arguments, environment, value, from) in [
            (&[][..], &[][..], default, from_default),
            (&config, &[], in_file.1, &from_file),
            (&[], &variables, in_environment.1, &from_variable),
            (&config, &variables, in_environment.1, &from_variable),
            (&both[2..], &[], as_flag.1, "flag"),
            (&both, &[], as_flag.1, "flag"),
            (&both[2..], &variables, as_flag.1, "flag"),
            (&both, &variables, as_flag.1, "flag"),
        ] {
            let text = print_config(arguments, environment).unwrap();
            let expected = Setting { value: value.to_owned(), from: from.to_owned() };
            assert_eq!(setting(&text, name), expected, "{name} {arguments:?} {environment:?}");
        }
    }
}

#[test]
fn a_switch_that_the_file_turns_on_can_be_turned_off() {
    let dir = TempDir::new();
    let file = dir.file("chat.toml", "announce = true\n");
    for (arguments, variable, is_on) in [
        (&[][..], None, "true"),
        (&["--announce=false"], None, "false"),
        (&["--announce"], Some("0"), "true"),
        (&[], Some("no"), "false"),
    ] {
        let arguments = [&["--config", &file], arguments].concat();
        let variables: Vec<_> =
            variable.map(|value| ("CHATPROTO_ANNOUNCE", value)).into_iter().collect();
        let text = print_config(&arguments, &variables).unwrap();
        assert_eq!(setting(&text, "announce").value, is_on, "{arguments:?} {variable:?}");
    }
}

#[test]
fn the_file_can_be_named_by_the_environment() {
    let dir = TempDir::new();
    let (one, other) =
        (dir.file("one.toml", "max-name = 1"), dir.file("other.toml", "max-name = 2"));
    let variables = [("CHATPROTO_CONFIG", one.as_str())];
    let text = print_config(&[], &variables).unwrap();
    assert_eq!(setting(&text, "max-name").from, format!("file {one}:1"));
    let text = print_config(&["--config", &other], &variables).unwrap();
    assert_eq!(setting(&text, "max-name").from, format!("file {other}:1"));
}

#[test]
fn paths_begin_at_the_file_that_they_are_in() {
    let dir = TempDir::new();
    let file =
        dir.file("chat.toml", "admin-token = \"secrets/token\"\naudit-log = \"/var/audit\"\n");
    let mut command = Command::new(EXECUTABLE);
    command.args(["--config", &file, "--print-config"]).current_dir("/");
    let (_, output, _) = Program::spawn(command).end();
    let text = output.join("\n");
    let beside = format!("{:?}", dir.path("secrets/token"));
    assert_eq!(setting(&text, "admin-token").value, beside);
    assert_eq!(setting(&text, "audit-log").value, "\"/var/audit\"");

    // on the command line and in the environment they begin where the program was started
    let mut command = Command::new(EXECUTABLE);
    command.args(["--config", &file, "--print-config", "--admin-token", "token"]).current_dir("/");
    command.env("CHATPROTO_AUDIT_LOG", "audit.log");
    let (_, output, _) = Program::spawn(command).end();
    let text = output.join("\n");
    assert_eq!(setting(&text, "admin-token").value, "\"/token\"");
    assert_eq!(setting(&text, "audit-log").value, "\"/audit.log\"");
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let dir = TempDir::new();
    let lines =
        "rate = \"off\"\nban = [\"a \\\"b\\\"\", \"10.0.0.0/8\", \"007\"]\nadmin-token = \"t\"\n";
    let file = dir.file("chat.toml", lines);
    let variables = [("CHATPROTO_DRAIN", "1.5s"), ("CHATPROTO_LISTEN", "[::1]:0")];
    let arguments = ["--config", &file, "--announce", "--max-frame", "1MiB", "--threads", "2"];
    let first = print_config(&arguments, &variables).unwrap();
    let again = dir.file("again.toml", &first);
    let second = print_config(&["--config", &again], &[]).unwrap();

    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains(" = "));
        lines.map(|line| line.split("  # ").next().unwrap().to_owned()).collect()
    };
    assert!(values(&first).len() > 20, "{first}");
    assert_eq!(values(&first), values(&second));
    let is_of_file = |line: &&str| line.contains(" = ") && !line.starts_with('#');
    for (number, line) in second.lines().filter(is_of_file).enumerate() {
        assert!(line.contains(&format!("  # file {again}:")), "{number}: {line}");
    }
    // and so does what it prints when nothing is set
    let defaults = print_config(&[], &[]).unwrap();
    let file = dir.file("defaults.toml", &defaults);
    assert_eq!(values(&print_config(&["--config", &file], &[]).unwrap()), values(&defaults));
}

#[test]
fn the_rate_of_bytes_is_shown_with_its_default_which_follows_the_rate() {
    for (arguments, value, from) in [
        (&[][..], r#""192KiB""#, "default"),
        (&["--rate", "7"], r#""192KiB""#, "default"),
        (&["--rate", "off"], r#""off""#, "default"),
        (&["--rate", "off", "--rate-bytes", "1KiB"], r#""1KiB""#, "flag"),
    ] {
        let text = print_config(arguments, &[]).unwrap();
        let expected = Setting { value: value.to_owned(), from: from.to_owned() };
        assert_eq!(setting(&text, "rate-bytes"), expected, "{arguments:?}");
    }
    let text = print_config(&[], &[("CHATPROTO_RATE", "off")]).unwrap();
    assert_eq!(setting(&text, "rate-bytes").value, r#""off""#);
}

#[test]
fn no_secret_is_printed() {
    let secret = "Zm9vYmFyYmF6cXV4MTIzNDU2";
    let text = print_config(&[], &[("CHATPROTO_ADMIN_TOKEN", secret)]).unwrap();
    assert!(!text.contains(secret));
    let expected = Setting {
        value: "\"FILE\"".to_owned(),
        from: "environment CHATPROTO_ADMIN_TOKEN; not shown".to_owned(),
    };
    assert_eq!(setting(&text, "admin-token"), expected);

    let dir = TempDir::new();
    let token = dir.file("token", secret);
    for variables in [&[("CHATPROTO_ADMIN_TOKEN_FILE", token.as_str())][..], &[]] {
        let flag = ["--admin-token", &token];
        let arguments = if variables.is_empty() { &flag[..] } else { &[] };
        let text = print_config(arguments, variables).unwrap();
        assert!(!text.contains(secret));
        assert_eq!(setting(&text, "admin-token").value, format!("{token:?}"));
    }
    // a flag is meant for this once
    let text = print_config(&["--admin-token", &token], &[("CHATPROTO_ADMIN_TOKEN", secret)]);
    assert_eq!(setting(&text.unwrap(), "admin-token").from, "flag");
    let both = [("CHATPROTO_ADMIN_TOKEN", secret), ("CHATPROTO_ADMIN_TOKEN_FILE", &token)];
    assert_eq!(
        print_config(&[], &both).unwrap_err(),
        "server-example: both CHATPROTO_ADMIN_TOKEN and CHATPROTO_ADMIN_TOKEN_FILE are set: unset one \
         of them"
    );
}

#[test]
fn a_key_that_is_none_is_refused_with_the_one_that_may_be_meant() {
    assert_eq!(
        mistake("rate = 3\n\nmax-frames = 3\n"),
        "FILE:3: there is no option max-frames (a similar one exists: max-frame)"
    );
    assert_eq!(
        mistake("max_frame = 3"),
        "FILE:1: there is no option max_frame (a similar one exists: max-frame)"
    );
    assert_eq!(
        mistake("frobnicate = 3"),
        "FILE:1: there is no option frobnicate (see server-example serve --help)"
    );
    // these say how to configure
    assert_eq!(
        mistake("print-config = true"),
        "FILE:1: there is no option print-config (see server-example serve --help)"
    );
    let section =
        "is a section: there are none, each option is a line such as max-frame = \"64KiB\"";
    assert_eq!(mistake("\n[limits]\nrate = 3"), format!("FILE:2: limits {section}"));
    assert_eq!(mistake("limits.rate = 3"), format!("FILE:1: limits {section}"));
}

#[test]
fn a_value_that_is_none_is_refused_with_its_line_and_what_is_expected() {
    for (line, said) in [
        ("announce = 1", "announce: expected true or false (without quotes), not a number"),
        ("announce = \"true\"", "announce: expected true or false (without quotes), not a text"),
        ("ban = \"eve\"", "ban: expected a list such as [\"one\", \"two\"], not a text"),
        ("rate = [1]", "rate = [1]: expected a text or a number, not a list"),
        (
            "rate = false",
            "rate = false: expected a number of messages a second from 1 to 4294967295, or off",
        ),
        (
            "rate = 1.5",
            "rate = 1.5: expected a number of messages a second from 1 to 4294967295, or off",
        ),
        (
            "max-frame = \"1x\"",
            "max-frame = \"1x\": expected a size such as 65536, 64k, 64KiB or 1MiB",
        ),
        (
            "max-frame = 1979-05-27",
            "max-frame = 1979-05-27: expected a text or a number, not a date or time",
        ),
        ("threads = 1000", "threads = 1000: write a number from 1 to 256, or auto"),
        ("log = \"\"", "log = \"\": expected one of off, error, warn, info, debug, trace"),
        (
            "drain = 10",
            "drain = 10: expected a duration with its unit, such as 10s, 1.5s, 500ms or 2min",
        ),
        ("listen = \"a\\u0000\"", "listen = \"a\\u0000\": expected text without U+0000"),
        ("listen = true", "listen = true: expected a text or a number, not true or false"),
        ("ban = [true]", "ban = true: expected a text or a number, not true or false"),
        (
            "history-max = 10",
            "history-max = 10: the history would be erased: write at least 1MiB, a number with its unit \
             such as 500MiB or 10GiB, or off",
        ),
        (
            "history-keep = \"90s\"",
            "history-keep = \"90s\": the history would be erased: write at least 10min, such as 12h, \
             90d or 1y",
        ),
        ("rate = 1\nrate = 2", "duplicate key"),
    ] {
        let line_number = 3 + line.matches('\n').count();
        assert_eq!(
            mistake(&format!("# first\n\n{line}\nmax-name = 3\n")),
            format!("FILE:{line_number}: {said}")
        );
    }
    assert_eq!(
        mistake("ban = [\n  \"eve\",\n  \"/list\",\n]"),
        "FILE:3: ban = \"/list\": a name must not begin with '/'"
    );
    assert!(mistake("rate = 1\nlisten = \"x\n").starts_with("FILE:2: "));
}

#[test]
fn options_that_contradict_each_other_are_said_with_where_they_come_from() {
    let dir = TempDir::new();
    let file = dir.file("chat.toml", "\nqueue-bytes = \"1k\"");
    let error = print_config(&["--config", &file], &[("CHATPROTO_MAX_FRAME", "2k")]).unwrap_err();
    assert_eq!(
        error,
        format!(
            "server-example: --queue-bytes 1KiB has no room for a message of --max-frame 2KiB: ask for \
             more of the one or less of the other (--max-frame is from CHATPROTO_MAX_FRAME; \
             --queue-bytes is from {file}:2)"
        )
    );
}

#[test]
fn an_empty_path_is_not_the_directory_of_the_file() {
    for name in ["data", "audit-log", "tls-cert"] {
        let said = mistake(&format!("{name} = \"\""));
        assert!(said.starts_with(&format!("FILE:1: {name} = \"\": ")), "{said}");
    }
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    for (name, value, said) in [
        (
            "CHATPROTO_RATE",
            "fast",
            "expected a number of messages a second from 1 to 4294967295, or off",
        ),
        ("CHATPROTO_ANNOUNCE", "perhaps", "expected true or false"),
        ("CHATPROTO_BAN", "/list", "a name must not begin with '/'"),
        ("CHATPROTO_LOG", "", "expected one of off, error, warn, info, debug, trace"),
    ] {
        let error = print_config(&[], &[(name, value)]).unwrap_err();
        assert_eq!(error, format!("server-example: {name}={value}: {said}"));
    }
    // a flag takes its place, right or wrong
    print_config(&["--rate", "1"], &[("CHATPROTO_RATE", "fast")]).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_is_said() {
    let dir = TempDir::new();
    for (path, why) in [
        (
            dir.path("none.toml"),
            "no such file or directory (--print-config shows what can be in one)",
        ),
        (dir.path("."), "is a directory"),
        (dir.file("latin", b"rate = 7\n# gr\xfc\xdfe\n"), "line 2 is not UTF-8"),
        (
            dir.file("utf-16", b"\xff\xfer\0"),
            "line 1 is not UTF-8 (it looks like UTF-16: save it as UTF-8)",
        ),
        (dir.file("long", vec![b'#'; (1 << 20) + 1]), "it is longer than 1 MiB"),
    ] {
        let error = print_config(&["--config", &path], &[]).unwrap_err();
        assert_eq!(
            error,
            format!("server-example: cannot read the configuration in {path}: {why}")
        );
    }
    // the mistake on the command line is the first to mend
    let error = print_config(&["--config"], &[]).unwrap_err();
    assert!(error.contains("a value is required for '--config <FILE>'"), "{error}");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_file() {
    let dir = TempDir::new();
    let file = dir.file("chat.toml", "\u{feff}max-name = 17\n");
    let text = print_config(&["--config", &file], &[]).unwrap();
    assert_eq!(setting(&text, "max-name").from, format!("file {file}:1"));
}

#[test]
fn the_help_names_the_variables_and_never_their_values() {
    let mut command = Command::new(EXECUTABLE);
    let variables = [("CHATPROTO_MAX_NAME", "17"), ("CHATPROTO_CONFIG", "/nowhere/to-be/found")];
    command.args(["serve", "--help"]).envs(variables);
    let (code, output, _) = Program::spawn(command).end();
    assert_eq!(code, Some(0));
    let text = output.join("\n");
    let options = text.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let names = options.filter_map(|line| line.split([' ', '[']).next());
    let mut count = 0;
    for name in names.filter(|name| !matches!(*name, "help" | "print-config" | "check-config")) {
        let variable = match name {
            "admin-token" => "CHATPROTO_ADMIN_TOKEN_FILE".to_owned(),
            name => format!("CHATPROTO_{}", name.to_uppercase().replace('-', "_")),
        };
        assert!(text.contains(&format!("[env: {variable}]")), "{name}");
        count += 1;
    }
    assert!(count > 20 && !text.contains("nowhere"), "{text}");
}

#[test]
fn a_variable_that_no_command_knows_is_refused_with_the_one_that_may_be_meant() {
    let run = |arguments: &[&str], name: &str| {
        let mut command = Command::new(EXECUTABLE);
        command.args(arguments).env(name, "x");
        let (code, _, errors) = Program::spawn(command).end();
        (code, errors.join("\n").replace("server-example: ", ""))
    };
    for (name, advice) in [
        ("CHATPROTO_LISTN", "a similar one exists: CHATPROTO_LISTEN"),
        ("CHATPROTO_MAXFRAME", "a similar one exists: CHATPROTO_MAX_FRAME"),
        ("CHATPROTO_ADMIN_TOKENS", "a similar one exists: CHATPROTO_ADMIN_TOKEN"),
        ("CHATPROTO_PASWORD", "a similar one exists: CHATPROTO_PASSWORD"),
        ("CHATPROTO_CONFG", "a similar one exists: CHATPROTO_CONFIG"),
        ("CHATPROTO_ZZZZZZ", "see server-example serve --help"),
    ] {
        let said = format!("there is no variable {name} ({advice})");
        for arguments in [
            &["--print-config"][..],
            &["chat", "--name", "alice"],
            &["account", "list"],
            &["history", "stats"],
            &["backup", "x"],
            &["load", "compare", "--list"],
        ] {
            assert_eq!(run(arguments, name), (Some(2), said.clone()), "{arguments:?}");
        }
    }
    // help helps all the same, and variables of others are theirs
    assert_eq!(run(&["--help"], "CHATPROTO_LISTN").0, Some(0));
    assert_eq!(run(&["--print-config"], "CHATPROTOS").0, Some(0));
}

#[test]
fn commands_on_data_take_its_directory_from_the_configuration() {
    let dir = TempDir::new();
    let file = dir.file("chat.toml", "data = \"kept\"\nmax-name = 32\n");
    let (kept, elsewhere) = (dir.path("kept"), dir.path("elsewhere"));
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = Command::new(EXECUTABLE);
        command.args(arguments).envs(environment.iter().copied());
        if !environment.iter().any(|(name, _)| *name == "CHATPROTO_DATA") {
            // the tests set one where there is none
            command = without_data(command);
        }
        Program::spawn_as_is(command).end()
    };
    let add = ["account", "add", "alice", "--generate", "--config", &file];
    assert_eq!(run(&add, &[]).0, Some(0));
    let variable = [("CHATPROTO_CONFIG", file.as_str())];
    let backup = dir.path("backup.db");
    for arguments in [
        &["account", "list"][..],
        &["account", "role", "alice", "admin"],
        &["history", "stats"],
        &["history", "export"],
        &["history", "check"],
        &["history", "purge", "--older-than", "1d"],
        &["backup", &backup],
        &["restore", &backup],
    ] {
        let (code, _, errors) = run(arguments, &variable);
        assert_eq!(code, Some(0), "{arguments:?}: {errors:?}");
        if !matches!(arguments[0], "backup" | "restore") {
            let with_file = [arguments, &["--config", &file]].concat();
            assert_eq!(run(&with_file, &[]).0, Some(0), "{arguments:?}");
        }
    }
    assert!(Path::new(&kept).join("chatproto.db.before-restore").exists());
    // a flag goes before the environment, that before the file
    let named = format!("there is no data in {elsewhere}");
    let (_, _, errors) = run(&["account", "list", "--data", &elsewhere], &variable);
    assert!(errors[0].contains(&named), "{errors:?}");
    let both = [("CHATPROTO_CONFIG", file.as_str()), ("CHATPROTO_DATA", elsewhere.as_str())];
    let (_, _, errors) = run(&["account", "list"], &both);
    assert!(errors[0].contains(&named), "{errors:?}");
    // a mistake in the file is one here too
    let wrong = dir.file("wrong.toml", "dta = \"kept\"\n");
    let (code, _, errors) = run(&["account", "list", "--config", &wrong], &[]);
    assert_eq!(code, Some(2));
    assert!(errors[0].contains("wrong.toml:1: there is no option dta"), "{errors:?}");
}

#[test]
fn a_configuration_is_checked_without_a_trace() {
    let dir = TempDir::new();
    let token = dir.file("token", "Zm9vYmFyYmF6cXV4MTIzNDU2");
    let audit = dir.path("audit.log");
    let data = dir.path("data");
    let good = dir.file(
        "good.toml",
        format!("admin-token = \"{token}\"\naudit-log = \"{audit}\"\ndata = \"{data}\"\n"),
    );
    let check = |arguments: &[&str]| {
        let mut command = Command::new(EXECUTABLE);
        command.args(["serve", "--check-config"]).args(arguments);
        Program::spawn_as_is(without_data(command)).end()
    };
    let (code, output, errors) = check(&["--config", &good]);
    assert_eq!((code, errors), (Some(0), vec![]));
    assert_eq!(output, ["the configuration is valid"]);
    assert!(!Path::new(&audit).exists() && !Path::new(&data).exists());

    // a server that runs with the same options is in nobody's way
    let mut server = Command::new(EXECUTABLE);
    server.args(["serve", "--listen", "127.0.0.1:0", "--config", &good]);
    let mut server = Program::spawn_as_is(without_data(server));
    let line = server.line();
    let address = line.strip_prefix("listening on ").unwrap();
    assert_eq!(check(&["--config", &good, "--listen", address]).0, Some(0));
    drop(server);

    // nor is another program, which may have ended when the server starts
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, errors) = check(&["--config", &good, "--listen", &address]);
    assert_eq!(code, Some(0));
    assert!(errors[0].contains("is in use"), "{errors:?}");

    let database = format!("{data}/chatproto.db");
    let (plain, nowhere) = (dir.file("plain", "text"), dir.path("no/audit.log"));
    let below = format!("{plain}/x/y");
    for (arguments, said) in [
        (&["--rate", "fast"][..], "expected a number of messages a second"),
        (&["--queue-bytes", "1k"], "has no room for a message"),
        (&["--admin-token", &nowhere], "cannot read the admin token"),
        (&["--audit-log", &nowhere], "make its directory first"),
        (&["--audit-log", &database], "it belongs to a server's data directory"),
        (&["--tls-cert", &plain, "--tls-key", &plain], "there is no certificate"),
        (&["--listen", "no.such.host.invalid"], "unknown host"),
        (&["--listen", "192.0.2.1:7000"], "this machine does not have that address"),
        (&["--listen", "127.0.0.1:7000", "--listen", "7000"], "has 127.0.0.1:7000 twice"),
        (&["--data", &below], "cannot make the data directory"),
        (&["--data", "/proc/x/y"], "cannot make the data directory"),
        (&["--data="], "--data"),
        (&["--registration-deadline", "0s"], "--registration-deadline must be longer than zero"),
        (&["--login-deadline", "0"], "--login-deadline must be longer than zero"),
        (&["--history-max", "10"], "the history would be erased: write at least 1MiB"),
        (&["--tls-cert", "/dev/zero", "--tls-key", &plain], "it is longer than 16 MiB"),
        (&["--tls-cert", &nowhere, "--tls-key", &plain], "no such file or directory"),
        (&["--ban", "192.0.2.0/24 1h"], "is not one target"),
        (&["--ban", "alice~1"], "only the server gives this name"),
        (&["--ban", "\"alice smith~1\""], "only the server gives this name"),
        (&["--data", &plain], "not a directory"),
        (&["--data", "none", "--accounts", "required"], "--accounts needs a place"),
    ] {
        let (code, output, errors) = check(&[&["--config", &good], arguments].concat());
        assert_eq!((code, output), (Some(2), vec![]), "{arguments:?}");
        assert!(errors.last().is_some_and(|line| line.contains(said)), "{arguments:?}: {errors:?}");
    }
}

/// The program as a user starts it: its data is where the configuration says.
fn without_data(mut command: Command) -> Command {
    command.env_remove("CHATPROTO_DATA");
    command
}

#[test]
fn other_commands_take_nothing_from_the_environment() {
    let mut command = Command::new(EXECUTABLE);
    command.args(["check", "--server", "localhost", "--list"]).env("CHATPROTO_CONFIG", "/nowhere");
    let (_, _, errors) = Program::spawn(command).end();
    assert!(!errors.iter().any(|line| line.contains("nowhere")), "{errors:?}");
    assert!(!Path::new("/nowhere").exists());
}
