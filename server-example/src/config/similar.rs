//! The name that may be meant where one is wrong.

/// The name that may be meant, if there is one that is so much like this.
pub(super) fn most_similar<'a>(
    name: &str,
    others: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let likeness = |other: &str| {
        let is_part = name.len() > 2 && other.contains(name);
        strsim::jaro(name, other).max(if is_part { 0.75 } else { 0.0 })
    };
    others
        .map(|other| (likeness(other), other))
        .filter(|(likeness, _)| *likeness > 0.74)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_may_be_meant_is_like_it_or_has_it_inside() {
        let names = ["max-frame", "max-rooms", "rate"];
        for (name, meant) in [
            ("max_frame", Some("max-frame")),
            ("rooms", Some("max-rooms")),
            ("rat", Some("rate")),
            ("xyz", None),
            ("zz", None),
        ] {
            assert_eq!(most_similar(name, names.into_iter()), meant, "{name}");
        }
    }
}
