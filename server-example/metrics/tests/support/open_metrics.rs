//! A strict reader of OpenMetrics 1.0, for tests: it accepts what a server exposes here and nothing that breaks a
//! rule of the format.

use std::collections::{BTreeMap, BTreeSet};

/// A metric family.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) unit: Option<String>,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

/// One value. Its name has the suffix of the family's type.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Sample {
    /// The name with the labels, in their order.
    pub(crate) fn series(&self) -> String {
        let labels: Vec<_> =
            self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{}{{{}}}", self.name, labels.join(","))
    }
}

/// All values of an exposition by series, without the buckets of histograms.
pub(crate) fn values(text: &str) -> BTreeMap<String, f64> {
    let samples = parse(text).into_iter().flat_map(|family| family.samples);
    samples
        .filter(|sample| !sample.labels.contains_key("le"))
        .map(|sample| (sample.series(), sample.value))
        .collect()
}

/// Reads an exposition. Panics at the first line that breaks a rule.
pub(crate) fn parse(text: &str) -> Vec<Family> {
    let body = text.strip_suffix("# EOF\n").expect("the last line is the end mark");
    assert!(body.is_empty() || body.ends_with('\n'), "each line ends with a line feed");
    let mut lines = body.lines().peekable();
    let mut families: Vec<Family> = Vec::new();
    while let Some(line) = lines.next() {
        let (name, help) = comment(line, "HELP");
        assert!(is_name(name), "{line}");
        let type_line = lines.next().expect("a type follows");
        let (of, kind) = comment(type_line, "TYPE");
        assert_eq!(of, name, "{type_line}");
        let mut unit = None;
        if let Some(unit_line) = lines.next_if(|line| line.starts_with("# UNIT ")) {
            let (of, text) = comment(unit_line, "UNIT");
            assert!(of == name && name.ends_with(&format!("_{text}")), "{unit_line}");
            unit = Some(text.to_owned());
        }
        let mut samples = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            samples.push(sample(line));
        }
        let family = Family {
            name: name.to_owned(),
            kind: kind.to_owned(),
            unit,
            help: help.to_owned(),
            samples,
        };
        check(&family);
        assert!(families.iter().all(|other| other.name != family.name), "{name} stands twice");
        families.push(family);
    }
    families
}

fn comment<'a>(line: &'a str, keyword: &str) -> (&'a str, &'a str) {
    let rest = line.strip_prefix("# ").and_then(|rest| rest.strip_prefix(keyword));
    let rest = rest.and_then(|rest| rest.strip_prefix(' '));
    let parts = rest.and_then(|rest| rest.split_once(' '));
    parts.unwrap_or_else(|| panic!("{keyword} is missing: {line:?}"))
}

fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(is_plain)
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line:?}"));
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line:?}"));
            assert!(is_name(label), "{line:?}");
            let (value, after) = quoted(after).unwrap_or_else(|| panic!("{line:?}"));
            assert_eq!(labels.insert(label.to_owned(), value), None, "{line:?}");
            rest = after;
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap_or_else(|| panic!("{line:?}"));
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line:?}"));
    let value = value.parse().unwrap_or_else(|_| panic!("{line:?}"));
    Sample { name: name.to_owned(), labels, value }
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match characters.next()?.1 {
                'n' => '\n',
                quoted @ ('\\' | '"') => quoted,
                _ => return None,
            }),
            (_, plain) => value.push(plain),
        }
    }
}

fn check(family: &Family) {
    let Family { name, kind, help, samples, .. } = family;
    assert!(help.ends_with('.') && help.len() > 8, "{name} has no help: {help:?}");
    let suffixes: &[&str] = match kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        "info" => &["_info"],
        "histogram" => &["_sum", "_count", "_bucket"],
        other => panic!("{name} is of the unknown type {other}"),
    };
    let mut seen = BTreeSet::new();
    for sample in samples {
        let suffix = sample.name.strip_prefix(name.as_str());
        assert!(suffix.is_some_and(|suffix| suffixes.contains(&suffix)), "{}", sample.series());
        assert!(seen.insert(sample.series()), "{} stands twice", sample.series());
        assert!(sample.value.is_finite(), "{}", sample.series());
        assert!(kind == "gauge" || sample.value >= 0.0, "{} fell below 0", sample.series());
        assert!(kind != "info" || sample.value == 1.0, "{}", sample.series());
    }
    if kind == "histogram" {
        check_histogram(family);
    }
}

fn check_histogram(family: &Family) {
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        let bound = labels.remove("le");
        let key = format!("{labels:?}");
        match bound {
            Some(bound) => {
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
                buckets.entry(key).or_default().push((bound, sample.value));
            }
            None if sample.name.ends_with("_count") => {
                counts.insert(key, sample.value);
            }
            None => {}
        }
    }
    assert_eq!(buckets.len(), counts.len());
    for (key, buckets) in buckets {
        assert!(buckets.is_sorted(), "{key}: bounds and counts only grow");
        let last = buckets.last().copied();
        assert_eq!(last, Some((f64::INFINITY, counts[&key])), "{key}: the last bucket has all");
    }
}
