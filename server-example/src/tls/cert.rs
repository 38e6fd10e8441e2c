//! `cert`: makes a certificate that signed itself, and shows what is in one.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use chatproto::address::Address;
use chatproto::tls::Fingerprint;
use clap::{Args, Subcommand};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use shared::clock;
use shared::failure::{Failure, reason};
use shared::input::read_whole;
use shared::staging::{Access, Existing};
use shared::target;
use shared::text::visible;
use zeroize::Zeroizing;

use super::x509::Fields;

/// Make a certificate for the server, or show what is in one.
#[derive(Args, Debug)]
pub(crate) struct CertOptions {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(NewOptions),
    Show(ShowOptions),
}

/// Make a certificate that signed itself, and its key.
///
/// For a class room: clients trust it by its fingerprint, which is printed, or by the file cert.pem,
/// which is not secret. For a server that everybody on the internet is to trust, get a certificate
/// from an authority instead.
#[derive(Args, Debug)]
struct NewOptions {
    /// Directory for cert.pem and key.pem; made if it does not exist
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Name or address by which clients reach the server; may be given several times
    ///
    /// localhost and its addresses are always among them. Clients that trust the fingerprint do not
    /// look at names.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,

    /// For how many days it is valid
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = days)]
    days: u32,

    /// Replace the files if they exist
    #[arg(long)]
    force: bool,
}

/// Show for whom a certificate is, until when, and its fingerprint.
#[derive(Args, Debug)]
struct ShowOptions {
    /// The certificate, a PEM file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Reads `--days`.
fn days(text: &str) -> Result<u32, &'static str> {
    let days = text.parse().ok().filter(|days| (1..=36_500).contains(days));
    days.ok_or("write a number of days from 1 to 36500")
}

pub(crate) fn run(options: &CertOptions) -> Result<(), Failure> {
    match &options.command {
        Command::New(options) => make(options),
        Command::Show(options) => show(&options.file),
    }
}

fn make(options: &NewOptions) -> Result<(), Failure> {
    let certificate_path = options.dir.join("cert.pem");
    let key_path = options.dir.join("key.pem");
    if !options.force {
        for path in [&certificate_path, &key_path] {
            if path.symlink_metadata().is_ok() {
                return Err(Failure::Usage(format!(
                    "{} exists already: choose another --dir, or replace it with --force",
                    shown(path)
                )));
            }
        }
    }
    for path in [&certificate_path, &key_path] {
        target::check(path, Existing::Replace)?;
    }
    let (certificate, key) = self_signed(&options.host, options.days)?;
    let cannot = |path: &Path| {
        let path = shown(path);
        move |error: io::Error| Failure::Run(format!("cannot write {path}: {}", reason(&error)))
    };
    fs::create_dir_all(&options.dir).map_err(cannot(&options.dir))?;
    let key_pem = Zeroizing::new(key.serialize_pem());
    let key = target::stage(&key_path, key_pem.as_bytes(), Access::Private)?;
    let pem = certificate.pem();
    let public = target::stage(&certificate_path, pem.as_bytes(), Access::Shared)?;
    // both are whole: the two names change together, as far as a file system can do that
    let existing = Existing::replaced_if(options.force);
    key.place(existing).map_err(|error| target::failed(&key_path, &error))?;
    public.place(existing).map_err(|error| target::failed(&certificate_path, &error))?;

    let facts = Facts::of_der(certificate.der()).map_err(Failure::Run)?;
    let (certificate, key) = (shown(&certificate_path), shown(&key_path));
    let text = format!(
        "certificate  {certificate}, for {} until {}\n\
         key          {key}, which nobody else may have\n\
         fingerprint  {print}\n\
         \n\
         the server:  server-example serve --listen 0.0.0.0:65432 --tls-cert {} --tls-key {}\n\
         clients:     server-example chat --server HOST --name NAME --tls-fingerprint {print}\n\
         or, with a copy of {certificate} and a name that it is for:\n             \
         server-example chat --server HOST --name NAME --tls-ca cert.pem\n\
         in Python:   chatproto.Client(\"NAME\", \"HOST\", tls_fingerprint=\"{print}\")\n",
        facts.names(),
        facts.until(),
        quoted(&certificate_path),
        quoted(&key_path),
        print = facts.fingerprint,
    );
    print(&text)
}

fn show(path: &Path) -> Result<(), Failure> {
    let name = shown(path);
    let fail = |why: &dyn Display| Failure::Usage(format!("cannot read {name}: {why}"));
    let text = read_whole(path, LONGEST).map_err(|error| fail(&reason(&error)))?;
    let none = "it has no certificate: it must be PEM, with a line BEGIN CERTIFICATE";
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
    let first = CertificateDer::pem_slice_iter(text).flatten().next().ok_or_else(|| fail(&none))?;
    let facts = Facts::of_der(&first).map_err(|why| fail(&why))?;
    let now = clock::now();
    let state = match () {
        () if facts.not_after() <= now => ", which is over",
        () if facts.not_before() > now => ", which has not begun",
        () => "",
    };
    let Fields { issuer, subject, .. } = &facts.fields;
    let issuer = if issuer == subject { "itself" } else { issuer };
    let text = format!(
        "names        {}\nvalid        from {} until {}{state}\nissuer       {}\nfingerprint  {}\n",
        facts.names(),
        facts.since(),
        facts.until(),
        visible(issuer),
        facts.fingerprint
    );
    print(&text)
}

/// What a person wants to know of a certificate.
#[derive(Debug)]
pub(crate) struct Facts {
    fields: Fields,
    fingerprint: Fingerprint,
}

impl Facts {
    /// # Errors
    /// The sentence that says why it is no certificate.
    pub(crate) fn of_der(der: &[u8]) -> Result<Self, String> {
        let fields = Fields::of_der(der)
            .ok_or_else(|| "it is not a certificate, or it is damaged".to_owned())?;
        Ok(Facts { fields, fingerprint: Fingerprint::of_der(der) })
    }

    /// The names and addresses that it is for.
    pub(crate) fn hosts(&self) -> &[String] {
        &self.fields.names
    }

    pub(crate) fn names(&self) -> String {
        let names = match &self.fields.names[..] {
            [] => "nobody".to_owned(),
            names => names.join(", "),
        };
        visible(&names).into_owned()
    }

    pub(crate) fn not_before(&self) -> Timestamp {
        self.fields.not_before
    }

    pub(crate) fn not_after(&self) -> Timestamp {
        self.fields.not_after
    }

    pub(crate) fn since(&self) -> String {
        date(self.not_before())
    }

    pub(crate) fn until(&self) -> String {
        date(self.not_after())
    }
}

fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Whether a certificate can be for it: an address, or a DNS name with or without a wildcard in front.
fn is_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_label = |label: &str| {
        let is_of = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=63).contains(&label.len()) && label.chars().all(is_of)
    };
    // a host that ends in a number is an address, and no name
    host.parse::<IpAddr>().is_ok()
        || name.len() <= 253 && name.split('.').all(is_label) && Address::new(name, 0).is_ok()
}

fn unbracketed(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn self_signed(hosts: &[String], days: u32) -> Result<(rcgen::Certificate, KeyPair), Failure> {
    if let Some(wrong) = hosts.iter().find(|host| !is_host(unbracketed(host))) {
        return Err(Failure::Usage(format!(
            "--host \"{}\" is not a host name or an address: write one like chat.example.org, in ASCII, or \
             192.0.2.1",
            visible(wrong)
        )));
    }
    let mut names: Vec<String> = Vec::new();
    for host in hosts.iter().map(String::as_str).chain(["localhost", "127.0.0.1", "::1"]) {
        let host = unbracketed(host);
        if !names.iter().any(|name| name == host) {
            names.push(host.to_owned());
        }
    }
    let common_name = names[0].clone();
    let mut params = CertificateParams::new(names)
        .map_err(|error| Failure::Usage(format!("--host cannot be in a certificate: {error}")))?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, common_name);
    params.distinguished_name = subject;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let today = clock::now().to_zoned(TimeZone::UTC).date();
    // clocks of a class room differ
    params.not_before = day(today.saturating_sub(1.day()));
    params.not_after = day(today.saturating_add(i64::from(days).days()));
    let fail = |error| Failure::Run(format!("cannot make a certificate: {error}"));
    let key = KeyPair::generate().map_err(fail)?;
    let certificate = params.self_signed(&key).map_err(fail)?;
    Ok((certificate, key))
}

fn day(date: jiff::civil::Date) -> time::OffsetDateTime {
    rcgen::date_time_ymd(i32::from(date.year()), date.month() as u8, date.day() as u8)
}

fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy()).into_owned()
}

/// A path as one types it in a shell.
fn quoted(path: &Path) -> String {
    let text = shown(path);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| {
        Failure::Run(format!("cannot write to standard output: {}", reason(&error)))
    })
}
