//! `history search`: messages by their words.

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;
use shared::failure::Failure;
use shared::text::visible;
use store::{ConversationMessage, Search};
use unicode_normalization::UnicodeNormalization as _;

use crate::data::StoredDataOptions;
use crate::output::{Progress, say};

use super::output::{ConversationOptions, time};

/// Characters of a message that are shown.
const SHOWN: usize = 160;
/// … and how many of them before the first word that was looked for.
const LEAD: usize = 40;

/// Find messages by their words.
///
/// A message is found if it has all of the words, in whatever case, with or without accents, and however
/// its characters are composed: STRASSE finds Straße. Words in one argument have to stand together
/// ("green tea"); a star stands for any ending (tea*). Chinese, Japanese and Korean are found by any part
/// of a word. Emoji, arrows, currencies, signs of mathematics and other symbols are words; skin tones make
/// no difference. Punctuation and vowel marks of Arabic and Hebrew are not looked for. The newest are shown,
/// oldest first, a line each: id, time, conversation, sender and text.
#[derive(Args, Debug)]
pub(crate) struct SearchOptions {
    /// What to look for
    #[arg(required = true, value_name = "WORDS")]
    words: Vec<String>,

    #[command(flatten)]
    conversation: ConversationOptions,

    /// Show no more messages than this
    #[arg(long, value_name = "N", default_value_t = 50)]
    most: u32,

    #[command(flatten)]
    data: StoredDataOptions,
}

pub(crate) fn run(options: &SearchOptions) -> Result<(), Failure> {
    if !options.words.iter().any(|word| store::is_searchable(&store::folded(word))) {
        return Err(Failure::Usage("there is no word in what to look for".to_owned()));
    }
    let mut search = Search::open(&options.data.needed()?)?;
    let progress = Progress::new("indexing");
    loop {
        let step = search.catch_up()?;
        progress.show(step.done, step.all);
        if step.done >= step.all {
            break;
        }
    }
    drop(progress);
    let name = options.conversation.name();
    let found = search.find(&options.words, name.as_deref(), options.most as usize)?;
    if found.is_empty() {
        return Err(Failure::Run("nothing found".to_owned()));
    }
    let mut lines = String::new();
    for kept in &found {
        let _ = writeln!(lines, "{}", line(kept, &options.words));
    }
    say(lines.trim_end())
}

fn line(kept: &ConversationMessage, words: &[String]) -> String {
    let object: Value = serde_json::from_str(&kept.entry.object).unwrap_or_default();
    let sender = object["from"]["name"].as_str().unwrap_or_default();
    let text = object["msg"].as_str().unwrap_or_default();
    let conversation = kept.conversation.replace('\t', " – ");
    format!(
        "{}  {}  {}  {}: {}",
        kept.entry.id,
        time(kept.entry.at_ms),
        visible(&conversation),
        visible(sender),
        visible(&snippet(text, words))
    )
}

/// A part of a text with the first of the words in it.
fn snippet(text: &str, words: &[String]) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= SHOWN {
        return text.to_owned();
    }
    // what is compared, and which character of the text it is from
    let (mut compared, mut places) = (Vec::new(), Vec::new());
    for (place, c) in chars.iter().enumerate() {
        let before = compared.len();
        compared.extend(comparable(c.encode_utf8(&mut [0; 4])));
        places.resize(places.len() + compared.len() - before, place);
    }
    let at = words.iter().filter_map(|word| {
        let word: Vec<char> = comparable(word.trim_end_matches('*')).collect();
        let found = compared.windows(word.len().max(1)).position(|part| part == word);
        found.map(|at| places[at])
    });
    let start = at.min().unwrap_or(0).saturating_sub(LEAD);
    let end = (start + SHOWN).min(chars.len());
    let start = end - SHOWN;
    let mut part: String = chars[start..end].iter().collect();
    if start > 0 {
        part.insert(0, '…');
    }
    if end < chars.len() {
        part.push('…');
    }
    part
}

/// The characters of a text by which the search finds it, without accents.
fn comparable(text: &str) -> impl Iterator<Item = char> {
    let folded: String = store::folded(text).nfd().collect();
    folded.chars().filter(|c| store::is_token(*c)).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_does_nothing_to_the_terminal() {
        let object = crate::fixtures::object("al\\u001bice", "red \\u001b[31m\\nforged");
        let entry = store::StoredMessage { id: 7, at_ms: 0, object };
        let kept = ConversationMessage { conversation: "al\u{1b}ice\tbob".to_owned(), entry };
        let line = line(&kept, &[]);
        assert!(line.starts_with("7  "), "{line}");
        assert!(
            line.ends_with(r"  al\u{1b}ice – bob  al\u{1b}ice: red \u{1b}[31m\nforged"),
            "{line}"
        );
    }

    #[test]
    fn a_long_text_is_shown_where_the_word_is() {
        let words = ["Needle".to_owned()];
        assert_eq!(snippet("a needle", &words), "a needle");
        let hay = "hay ".repeat(100);
        let text = format!("{hay}needle {hay}");
        let shown = snippet(&text, &words);
        assert_eq!(shown.chars().count(), SHOWN + 2);
        assert!(shown.starts_with('…') && shown.ends_with('…') && shown.contains("hay needle hay"));
        let text = format!("{hay}cafe\u{301} in der Straße 绿茶 {hay}");
        for word in ["café", "STRASSE", "绿茶", "cafe*"] {
            assert!(snippet(&text, &[word.to_owned()]).contains("Straße 绿茶"), "{word}");
        }
        let text = format!("{hay}needle {hay}");
        let shown = snippet(&text, &["no".to_owned()]);
        assert!(shown.starts_with("hay hay") && shown.ends_with('…'));
        let shown = snippet(&format!("{hay}needle"), &words);
        assert!(shown.starts_with('…') && shown.ends_with("hay needle"));
    }
}
