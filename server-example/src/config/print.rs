//! The configuration as a file that says the same, with a comment behind each value that says where
//! it comes from.

use std::fmt::Write;

use super::option::Kind;
use super::{Origin, Setting, Settings};

impl Settings {
    /// The file. No secret is in it: such are in files of their own, or in the environment.
    pub(crate) fn file_text(&self) -> String {
        let mut text = String::from(
            "# The configuration of server-example serve, and where each value comes from.\n\
             # A flag goes before an environment variable, that before a file, that before the default.\n",
        );
        let mut heading = None;
        for setting in &self.all {
            if setting.definition.heading != heading {
                heading.clone_from(&setting.definition.heading);
                let title = heading.as_deref().unwrap_or("General");
                // writing to a string does not fail
                let _ = write!(text, "\n# --- {title} ---\n");
            }
            self.write(setting, &mut text);
        }
        text
    }

    fn write(&self, setting: &Setting, text: &mut String) {
        let definition = &setting.definition;
        let (name, placeholder) = (&definition.name, placeholder(setting));
        text.push('\n');
        for line in definition.help.lines() {
            let _ = writeln!(text, "# {line}");
        }
        let from = self.source(setting);
        let _ = match value(setting) {
            Some(value) => writeln!(text, "{name} = {value}  # {from}"),
            None if setting.origin == Origin::Default => {
                writeln!(text, "# {name} = {placeholder}  # not set")
            }
            None => writeln!(text, "# {name} = {placeholder}  # {from}; not shown"),
        };
    }

    fn source(&self, setting: &Setting) -> String {
        match &setting.origin {
            Origin::Default => "default".to_owned(),
            Origin::File(_) => format!("file {}", self.origin(setting)),
            Origin::Environment(variable) => format!("environment {variable}"),
            Origin::Flag => "flag".to_owned(),
        }
    }
}

/// What stands for a value that is not there, in the form that one has to have.
fn placeholder(setting: &Setting) -> String {
    let name = &setting.definition.value_name;
    match setting.definition.kind {
        Kind::Many => format!("[{}]", quoted(name)),
        Kind::One if name != "N" => quoted(name),
        _ => name.clone(),
    }
}

/// The value in TOML; none if there is none, or none that TOML can express.
fn value(setting: &Setting) -> Option<String> {
    let words = setting.values.iter().map(|value| value.to_str());
    let words = words.collect::<Option<Vec<&str>>>()?;
    match setting.definition.kind {
        Kind::Many if words.is_empty() && setting.origin == Origin::Default => None,
        Kind::Many if setting.definition.is_one_or_many && words.len() == 1 => {
            words.first().map(|&word| number_or_text(word))
        }
        Kind::Many => {
            let words: Vec<String> = words.into_iter().map(quoted).collect();
            Some(format!("[{}]", words.join(", ")))
        }
        Kind::Switch => words.first().map(|&word| word.to_owned()),
        Kind::One => words.first().map(|&word| number_or_text(word)),
    }
}

fn number_or_text(word: &str) -> String {
    match word.parse::<i64>() {
        Ok(number) if number.to_string() == word => word.to_owned(),
        _ => quoted(word),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
