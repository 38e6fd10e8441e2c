//! `account`: what an operator does with accounts, on the data file and beside a server that may be
//! using it, which notices within a second.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use chat::ask;
use chatproto::UserName;
use chatproto::hub::Role;
use chatproto::name::{lookalike_keys, normalise};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use shared::clock::{self, now_ms};
use shared::failure::{Failure, reason};
use shared::secret::{self, Secret};
use shared::stderr;
use shared::text::{Quoted, visible};
use store::DatabaseError;
use store::accounts::{AccountTable, Changed, StoredAccount, TableError};
use store::{Absent, connect_beside, connect_to_read};
use unicode_width::UnicodeWidthStr as _;
use zeroize::Zeroizing;

use super::hasher::{Hasher, Memory};
use super::password::Password;
use crate::data::StoredDataOptions;

/// Add, list and change accounts; a server that is running notices within a second.
#[derive(Args, Debug)]
pub(crate) struct AccountOptions {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Make an account: its name is for whoever has the password
    ///
    /// In a terminal the password is asked for twice and not shown; otherwise it is the first line of
    /// standard input.
    Add(AddOptions),
    /// List the accounts: name, role, when made, when last used, and whether nobody can use it
    List(ListOptions),
    /// Give an account another role
    Role(RoleOptions),
    /// Give an account another password, as if its owner had forgotten it
    ///
    /// In a terminal the password is asked for twice and not shown; otherwise it is the first line of
    /// standard input.
    Reset(ResetOptions),
    /// Remove an account: its name is free, and what waits for it is gone
    Remove(RemoveOptions),
}

#[derive(Args, Debug)]
struct AddOptions {
    /// The name, by the rules for user names
    name: String,

    /// What the account may do
    #[arg(long, value_name = "ROLE", value_enum, default_value_t = RoleName::User)]
    role: RoleName,

    /// Make a password and print it
    #[arg(long)]
    generate: bool,

    #[command(flatten)]
    data: StoredDataOptions,
}

#[derive(Args, Debug)]
struct ListOptions {
    /// Print a JSON array: name, role, created, last_login (RFC 3339, or null), and reserved: true if
    /// nobody can use it, because its name is the server's
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: StoredDataOptions,
}

#[derive(Args, Debug)]
struct RoleOptions {
    /// The account's name
    name: String,

    /// What it may do from now on
    #[arg(value_enum)]
    role: RoleName,

    #[command(flatten)]
    data: StoredDataOptions,
}

#[derive(Args, Debug)]
struct ResetOptions {
    /// The account's name
    name: String,

    /// Make a password and print it
    #[arg(long)]
    generate: bool,

    #[command(flatten)]
    data: StoredDataOptions,
}

#[derive(Args, Debug)]
struct RemoveOptions {
    /// The account's name
    name: String,

    /// Do not ask whether this is meant
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    data: StoredDataOptions,
}

/// A role as one types it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// Speak
    User,
    /// Keep order
    Moderator,
    /// Give roles as well
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::User => Role::User,
            RoleName::Moderator => Role::Moderator,
            RoleName::Admin => Role::Admin,
        }
    }
}

/// Does what was asked for.
pub(crate) fn run(options: &AccountOptions) -> Result<(), Failure> {
    match &options.act {
        Act::Add(options) => add(options),
        Act::List(options) => list(options),
        Act::Role(options) => set_role(options),
        Act::Reset(options) => reset(options),
        Act::Remove(options) => remove(options),
    }
}

fn add(options: &AddOptions) -> Result<(), Failure> {
    let refused = |why: &dyn fmt::Display| {
        let shown = visible(&options.name);
        Failure::Usage(format!("\"{shown}\" cannot be the name of an account: {why}"))
    };
    let name = UserName::new(&options.name).map_err(|why| refused(&why))?;
    name.check_account().map_err(|why| refused(&why))?;
    let directory = options.data.needed()?;
    let is_new = !store::has_database(&directory);
    if is_new {
        store::check_usable(&directory)?;
    } else {
        // before a password is thought of
        let mut table = open(&options.data, Absent::Make)?;
        // this program may find look-alikes that the one which wrote the file did not
        table.renew_keys().map_err(|error| failed(&table, &error))?;
        if table.find(name.as_str()).map_err(|error| failed(&table, &error))?.is_some() {
            return Err(taken(&name, name.as_str()));
        }
    }
    let password = new_password(options.generate, name.as_str())?;
    let hash = Hasher::new().hash(&password, &mut Memory::default());
    // a password that is refused leaves no new database
    let mut table = open(&options.data, Absent::Make)?;
    let role = Role::from(options.role);
    match table.add(&name, &hash, role, now_ms()) {
        Ok(_) => {}
        Err(TableError::Taken(other)) => return Err(taken(&name, &other)),
        Err(TableError::Gone) => unreachable!("an account that is added is there"),
        Err(TableError::Store(error)) => return Err(failed(&table, &error)),
    }
    let sentence = format!("{} is an account now, with the role {role}", Quoted(name.as_str()));
    let told = tell_with(options.generate.then_some(&password), &sentence);
    if is_new {
        let shown = directory.to_string_lossy();
        stderr::say(format_args!("there was no data in {}: it is new", visible(&shown)));
    }
    told
}

fn list(options: &ListOptions) -> Result<(), Failure> {
    let mut table = AccountTable::new(connect_to_read(&options.data.needed()?)?);
    let (_, accounts) = table.all().map_err(|error| failed(&table, &error))?;
    let text = if options.json { as_json(&accounts) } else { as_table(&accounts) };
    write(&text)
}

fn set_role(options: &RoleOptions) -> Result<(), Failure> {
    let mut table = open(&options.data, Absent::Refuse)?;
    let account = find(&mut table, &options.name)?;
    let role = Role::from(options.role);
    let outcome = table.set_role(&account.name, role, now_ms());
    done(&table, &account, outcome)?;
    tell(&format!("{} is {role} now, and was {}", Quoted(&account.name), account.role))
}

fn reset(options: &ResetOptions) -> Result<(), Failure> {
    let mut table = open(&options.data, Absent::Refuse)?;
    let account = find(&mut table, &options.name)?;
    let password = new_password(options.generate, &account.name)?;
    let hash = Hasher::new().hash(&password, &mut Memory::default());
    let outcome = table.set_hash(&account.name, None, &hash, now_ms());
    done(&table, &account, outcome)?;
    let sentence = format!("{} has another password now", Quoted(&account.name));
    tell_with(options.generate.then_some(&password), &sentence)
}

fn remove(options: &RemoveOptions) -> Result<(), Failure> {
    let mut table = open(&options.data, Absent::Refuse)?;
    let account = find(&mut table, &options.name)?;
    if !options.yes && !is_meant(&account.name)? {
        return Err(Failure::Run("nothing was removed".to_owned()));
    }
    let outcome = table.remove(&account.name, now_ms());
    done(&table, &account, outcome)?;
    tell(&format!("{} is no account any more", Quoted(&account.name)))
}

/// The accounts of a data directory, to change them.
fn open(data: &StoredDataOptions, absent: Absent) -> Result<AccountTable, Failure> {
    Ok(AccountTable::new(connect_beside(&data.needed()?, absent)?))
}

/// The account of a name, or the sentence that says which there might be.
fn find(table: &mut AccountTable, typed: &str) -> Result<StoredAccount, Failure> {
    let name = normalise(typed.trim());
    if let Some(account) = table.find(&name).map_err(|error| failed(table, &error))? {
        return Ok(account);
    }
    let (_, accounts) = table.all().map_err(|error| failed(table, &error))?;
    let shown = Quoted(&name);
    Err(Failure::Usage(match nearest(&name, &accounts) {
        Some(other) => {
            format!("there is no account {shown} (one of a similar name is {})", Quoted(other))
        }
        None => format!("there is no account {shown} (server-example account list shows all)"),
    }))
}

/// The account that was probably meant.
fn nearest<'a>(name: &str, accounts: &'a [StoredAccount]) -> Option<&'a str> {
    let keys = lookalike_keys(name);
    let similarity = |account: &'a StoredAccount| {
        let similarity = strsim::jaro_winkler(keys.first(), lookalike_keys(&account.name).first());
        (similarity, account.name.as_str())
    };
    let nearest = accounts.iter().map(similarity).max_by(|a, b| a.0.total_cmp(&b.0));
    nearest.filter(|(similarity, _)| *similarity > 0.8).map(|(_, name)| name)
}

/// What became of a change of an account that was there a moment ago.
fn done(
    table: &AccountTable,
    account: &StoredAccount,
    outcome: Result<Changed, TableError>,
) -> Result<(), Failure> {
    match outcome {
        Ok(_) => Ok(()),
        Err(TableError::Store(error)) => Err(failed(table, &error)),
        Err(TableError::Gone | TableError::Taken(_)) => {
            Err(Failure::Run(format!("{} is no account any more", Quoted(&account.name))))
        }
    }
}

fn failed(table: &AccountTable, error: &DatabaseError) -> Failure {
    table.explain(error).into()
}

fn taken(name: &UserName, other: &str) -> Failure {
    let name = Quoted(name.as_str());
    Failure::Run(if *name.0 == *other {
        format!("there is an account {name} already (account reset gives it another password)")
    } else {
        format!("{name} looks like {}, which is an account already", Quoted(other))
    })
}

/// The password for an account: made, asked for, or read.
fn new_password(generate: bool, name: &str) -> Result<Password, Failure> {
    if generate {
        return Password::generate()
            .map_err(|error| Failure::Run(format!("the system has no random numbers: {error}")));
    }
    if !io::stdin().is_terminal() {
        let typed = Secret::of_input("password")?;
        return Password::new_for(typed.as_str(), name).map_err(|why| {
            Failure::Usage(format!("{why} (one is the first line of standard input)"))
        });
    }
    if !secret::can_hide() {
        return Err(Failure::Usage(
            "this terminal cannot hide what is typed: give the password on standard input, or have \
             one made with --generate"
                .to_owned(),
        ));
    }
    loop {
        let typed = ask::secret("New password: ")?.ok_or(Failure::Interrupted)?;
        let password = match Password::new_for(typed.as_str(), name) {
            Ok(password) => password,
            Err(why) => {
                stderr::say(format_args!("{why}"));
                continue;
            }
        };
        if ask::secret("The same again: ")?.ok_or(Failure::Interrupted)? == typed {
            return Ok(password);
        }
        stderr::say(format_args!("that was not the same"));
    }
}

/// Asks whether an account is to be removed.
fn is_meant(name: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("say --yes if the account is to be removed".to_owned()));
    }
    let question = format!("Remove {} and what waits for it? [y/N] ", Quoted(name));
    let answer = ask::line(&question)?;
    Ok(answer.is_some_and(|answer| matches!(&*answer.trim().to_lowercase(), "y" | "yes")))
}

fn as_table(accounts: &[StoredAccount]) -> String {
    let width = accounts.iter().map(|account| account.name.width()).max().unwrap_or(0).max(4);
    let mut text =
        format!("NAME{}  ROLE       CREATED           LAST LOGIN\n", " ".repeat(width - 4));
    for account in accounts {
        let fill = " ".repeat(width - account.name.width());
        let (name, role) = (visible(&account.name), account.role.to_string());
        let created = local(account.created_ms);
        let seen = account.seen_ms.map_or_else(|| "never".to_owned(), local);
        let mark = if is_usable(&account.name) { "" } else { "  reserved name: cannot be used" };
        text += &format!("{name}{fill}  {role:<9}  {created:<16}  {seen}{mark}\n");
    }
    text
}

fn as_json(accounts: &[StoredAccount]) -> String {
    let rows = accounts.iter().map(|account| {
        let mut row = json!({
            "name": account.name,
            "role": account.role.to_string(),
            "created": utc(account.created_ms),
            "last_login": account.seen_ms.map(utc),
        });
        if !is_usable(&account.name) {
            row["reserved"] = true.into();
        }
        row
    });
    let rows = serde_json::Value::from_iter(rows);
    format!("{rows:#}\n")
}

/// Whether a client can ask for the name. An older version made accounts of other names too.
fn is_usable(name: &str) -> bool {
    let name = UserName::from_bytes(name.as_bytes(), usize::MAX);
    name.is_ok_and(|name| name.check_request().is_ok())
}

fn moment(ms: i64) -> Timestamp {
    clock::timestamp_of_ms(ms)
}

fn local(ms: i64) -> String {
    moment(ms).to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

fn utc(ms: i64) -> String {
    moment(ms).to_string()
}

/// Says what was done.
fn tell(sentence: &str) -> Result<(), Failure> {
    write(&format!("{sentence}\n"))
}

/// The same with a password that was made: that alone is on standard output, for scripts.
fn tell_with(made: Option<&Password>, sentence: &str) -> Result<(), Failure> {
    let Some(password) = made else { return tell(sentence) };
    stderr::say(format_args!("{sentence}; its password:"));
    let mut line = Zeroizing::new(String::with_capacity(password.as_str().len() + 1));
    line.push_str(password.as_str());
    line.push('\n');
    write(&line)
}

fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| {
        Failure::Run(format!("cannot write to standard output: {}", reason(&error)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str, role: Role, seen_ms: Option<i64>) -> StoredAccount {
        StoredAccount {
            name: name.to_owned(),
            hash: "hash".to_owned(),
            role,
            revision: 1,
            created_ms: 1_764_236_607_250,
            changed_ms: 1_764_236_607_250,
            seen_ms,
            addresses: Vec::new(),
        }
    }

    #[test]
    fn lists_are_for_people_and_for_programs() {
        let accounts = [
            account("alice", Role::Admin, None),
            account("你好", Role::User, Some(1_764_236_700_000)),
        ];
        let table = as_table(&accounts);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "NAME   ROLE       CREATED           LAST LOGIN");
        assert!(lines[1].starts_with("alice  admin      2025-11-2"), "{table}");
        assert!(lines[1].ends_with("  never"), "{table}");
        assert!(lines[2].starts_with("你好   user       2025-11-2"), "{table}");
        let json: serde_json::Value = serde_json::from_str(&as_json(&accounts)).unwrap();
        assert_eq!(
            json,
            json!([
                {
                    "name": "alice",
                    "role": "admin",
                    "created": "2025-11-27T09:43:27.25Z",
                    "last_login": null,
                },
                {
                    "name": "你好",
                    "role": "user",
                    "created": "2025-11-27T09:43:27.25Z",
                    "last_login": "2025-11-27T09:45:00Z",
                },
            ])
        );
        assert!(!as_json(&accounts).contains("hash"));
        assert_eq!(as_json(&[]), "[]\n");
    }

    #[test]
    fn accounts_that_nobody_can_use_are_marked() {
        let accounts = ["SERVER:", "alice", "alice~7"].map(|name| account(name, Role::User, None));
        let table = as_table(&accounts);
        let marked =
            table.lines().map(|line| line.ends_with("never  reserved name: cannot be used"));
        assert_eq!(marked.collect::<Vec<_>>(), [false, true, false, true], "{table}");
        let json: serde_json::Value = serde_json::from_str(&as_json(&accounts)).unwrap();
        let marked = json.as_array().unwrap().iter().map(|row| row.get("reserved").cloned());
        assert_eq!(marked.collect::<Vec<_>>(), [Some(true.into()), None, Some(true.into())]);
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let accounts = ["alice", "bob", "carol jones"].map(|name| account(name, Role::User, None));
        for (typed, meant) in [
            ("Alice", Some("alice")),
            ("alcie", Some("alice")),
            ("carol", Some("carol jones")),
            ("zacharias", None),
        ] {
            assert_eq!(nearest(typed, &accounts), meant, "{typed}");
        }
        assert_eq!(nearest("alice", &[]), None);
    }
}
