//! `account`, as an operator and as a script would use it.

use std::process::{Command, Stdio};

use crate::common::Program;
use crate::common::temp_dir::TempDir;

/// A data directory, and the program on it.
struct Accounts {
    _directory: TempDir,
    data: String,
}

/// What a run of the program came to.
#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    output: Vec<String>,
    errors: Vec<String>,
}

impl Accounts {
    fn new() -> Self {
        let directory = TempDir::new();
        let data = directory.path("data");
        Accounts { _directory: directory, data }
    }

    fn run(&self, arguments: &[&str], input: Option<&str>) -> Outcome {
        let data = ["--data", &self.data];
        let mut program = Program::start(&[&["account"], arguments, &data].concat());
        if let Some(line) = input {
            program.type_line(line);
        }
        program.close_input();
        let (code, output, errors) = program.end();
        Outcome { code, output, errors }
    }

    /// Runs and succeeds; what it printed.
    fn done(&self, arguments: &[&str], input: Option<&str>) -> Vec<String> {
        let outcome = self.run(arguments, input);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.output
    }

    /// Runs and fails; the sentence.
    fn failed(&self, arguments: &[&str], input: Option<&str>, code: i32) -> String {
        let outcome = self.run(arguments, input);
        assert_eq!((outcome.code, &outcome.output[..]), (Some(code), &[][..]), "{outcome:?}");
        let [sentence] = &outcome.errors[..] else { panic!("{outcome:?}") };
        sentence.strip_prefix("server-example: ").expect("who says it").to_owned()
    }

    fn list(&self) -> serde_json::Value {
        serde_json::from_str(&self.done(&["list", "--json"], None).join("\n")).unwrap()
    }
}

#[test]
fn an_account_from_beginning_to_end() {
    let accounts = Accounts::new();
    assert_eq!(
        accounts.done(&["add", "alice", "--role", "moderator"], Some("correct horse")),
        ["\"alice\" is an account now, with the role moderator"]
    );
    accounts.done(&["add", "carol jones"], Some("battery staple"));
    let list = accounts.list();
    let list = list.as_array().unwrap();
    let names: Vec<_> = list
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["role"].as_str().unwrap()))
        .collect();
    assert_eq!(names, [("alice", "moderator"), ("carol jones", "user")]);
    assert!(list.iter().all(|row| row["last_login"].is_null() && row["created"].is_string()));
    let table = accounts.done(&["list"], None);
    assert!(table[0].starts_with("NAME         ROLE       CREATED"), "{table:?}");
    assert!(table[1].starts_with("alice        moderator  20"), "{table:?}");
    assert_eq!(
        accounts.done(&["role", "alice", "admin"], None),
        ["\"alice\" is admin now, and was moderator"]
    );
    assert_eq!(
        accounts.done(&["reset", "alice"], Some("another horse")),
        ["\"alice\" has another password now"]
    );
    assert_eq!(
        accounts.done(&["remove", "alice", "--yes"], None),
        ["\"alice\" is no account any more"]
    );
    assert_eq!(accounts.list().as_array().unwrap().len(), 1);
}

#[test]
fn a_password_that_is_made_is_alone_on_standard_output() {
    let accounts = Accounts::new();
    let outcome = accounts.run(&["add", "alice", "--generate"], None);
    let [password] = &outcome.output[..] else { panic!("{outcome:?}") };
    assert_eq!(password.len(), 23, "{password}");
    assert!(outcome.errors[0].contains("\"alice\" is an account now"), "{outcome:?}");
    let other = accounts.done(&["reset", "alice", "--generate"], None);
    assert_ne!(other, [&**password]);
}

#[test]
fn mistakes_say_what_to_do() {
    let accounts = Accounts::new();
    accounts.done(&["add", "alice"], Some("correct horse"));
    for (arguments, input, code, said) in [
        (
            &["add", "/list"][..],
            Some("correct horse"),
            2,
            "\"/list\" cannot be the name of an account: a name must not begin with '/'",
        ),
        (
            &["add", "alice~7"],
            Some("correct horse"),
            2,
            "\"alice~7\" cannot be the name of an account: only the server gives names that end in '~', or in '~' and a number or a word",
        ),
        (
            &["add", "alice~I"],
            Some("correct horse"),
            2,
            "\"alice~I\" cannot be the name of an account: the name looks like one that the server gives, such as \"alice~7\"",
        ),
        (
            &["add", "S.E.R.V.E.R"],
            Some("correct horse"),
            2,
            "\"S.E.R.V.E.R\" cannot be the name of an account: the name looks like \"SERVER\", which is reserved",
        ),
        (
            &["add", "alice"],
            Some("correct horse"),
            1,
            "there is an account \"alice\" already (account reset gives it another password)",
        ),
        (
            &["add", "A1ice"],
            Some("correct horse"),
            1,
            "\"A1ice\" looks like \"alice\", which is an account already",
        ),
        (
            &["add", "bob"],
            Some("short"),
            2,
            "a password must have at least 8 characters (one is the first line of standard input)",
        ),
        (
            &["add", "bob"],
            None,
            2,
            "the password on standard input is missing: its first line is empty",
        ),
        (
            &["add", "christina"],
            Some("Christina"),
            2,
            "the name itself is too easy to guess as its password (one is the first line of standard input)",
        ),
        (
            &["role", "alcie", "admin"],
            None,
            2,
            "there is no account \"alcie\" (one of a similar name is \"alice\")",
        ),
        (
            &["reset", "zacharias"],
            Some("correct horse"),
            2,
            "there is no account \"zacharias\" (server-example account list shows all)",
        ),
        (&["remove", "alice"], None, 2, "say --yes if the account is to be removed"),
    ] {
        assert_eq!(accounts.failed(arguments, input, code), said, "{arguments:?}");
    }
    assert_eq!(accounts.list().as_array().unwrap().len(), 1);
    let emperor = accounts.failed(&["role", "alice", "emperor"], None, 2);
    assert!(emperor.contains("[possible values: user, moderator, admin]"), "{emperor}");
}

#[test]
fn only_adding_an_account_makes_a_database() {
    let accounts = Accounts::new();
    let none = format!("there is no data in {}: name the server's data directory", accounts.data);
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["role", "alice", "admin"],
        &["reset", "alice", "--generate"],
        &["remove", "alice", "--yes"],
    ] {
        let said = accounts.failed(arguments, None, 1);
        assert!(said.starts_with(&none), "{arguments:?}: {said}");
        assert!(!std::path::Path::new(&accounts.data).exists(), "{arguments:?}");
    }
    let made = accounts.run(&["add", "alice", "--generate"], None);
    let said = format!("there was no data in {}: it is new", accounts.data);
    assert_eq!(made.errors.last(), Some(&said), "{made:?}");
    assert_eq!(accounts.run(&["add", "bob", "--generate"], None).errors.len(), 1);
    assert_eq!(accounts.list().as_array().unwrap().len(), 2);
}

#[test]
fn a_password_that_is_refused_makes_no_database() {
    let accounts = Accounts::new();
    for input in [None, Some(""), Some("short")] {
        accounts.failed(&["add", "alice"], input, 2);
        assert!(!std::path::Path::new(&accounts.data).exists(), "{input:?}");
    }
    let nowhere = format!("{}/chatproto.db/data", accounts.data);
    accounts.done(&["add", "alice", "--generate"], None);
    let mut program = Program::start(&["account", "add", "bob", "--data", &nowhere]);
    program.close_input();
    let (code, _, errors) = program.end();
    assert_eq!(code, Some(1));
    assert!(errors[0].contains("cannot make the data directory"), "{errors:?}");
}

#[test]
fn without_a_data_directory_there_are_no_accounts() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_server-example"));
    command.args(["account", "list"]).env("CHATPROTO_DATA", "none");
    let (code, _, errors) = Program::spawn_with(command, Stdio::piped()).end();
    assert_eq!(code, Some(2));
    assert!(errors[0].contains("nothing is kept: name the server's data directory"), "{errors:?}");
}

#[test]
#[cfg(unix)]
fn the_data_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let accounts = Accounts::new();
    accounts.done(&["add", "alice"], Some("correct horse"));
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&accounts.data), 0o700);
    let file = format!("{}/chatproto.db", accounts.data);
    assert_eq!(mode(&file), 0o600);
    let bytes = std::fs::read(file).unwrap();
    assert!(!bytes.windows(13).any(|window| window == b"correct horse"));
}
