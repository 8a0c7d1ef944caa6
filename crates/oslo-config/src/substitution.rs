//! `$name` and `${name}` in values, as Python's `string.Template` finds them with the identifiers
//! of `oslo_config/cfg.py`.

use zeroize::Zeroizing;

/// Replaces every reference in `text` by what `resolve` gives for its name. `$$` and `\$` stand
/// for `$`; a `$` that begins no reference stands for itself.
pub(crate) fn expand<E>(
    text: &str,
    mut resolve: impl FnMut(&str) -> Result<Zeroizing<String>, E>,
) -> Result<Zeroizing<String>, E> {
    // Before all else, so `$\$x` is a dollar sign and a reference, as in the original.
    let text = Zeroizing::new(text.split(r"\$").collect::<Vec<_>>().join("$$"));
    let mut pieces = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        pieces.push(Zeroizing::new(before.to_owned()));
        let (piece, tail) = if let Some(tail) = after.strip_prefix('$') {
            (Zeroizing::new("$".to_owned()), tail)
        } else if let Some((name, tail)) = reference(after) {
            (resolve(name)?, tail)
        } else {
            (Zeroizing::new("$".to_owned()), after)
        };
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(Zeroizing::new(rest.to_owned()));
    let pieces: Vec<&str> = pieces.iter().map(|piece| piece.as_str()).collect();
    Ok(Zeroizing::new(pieces.concat()))
}

/// The name of a reference whose `$` stands right before `text`, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('{') {
        Some(braced) => {
            identifier(braced).and_then(|(name, tail)| Some((name, tail.strip_prefix('}')?)))
        }
        None => identifier(text),
    }
}

/// The longest match of `[_a-z][\._a-z0-9]*` at the start, case ignored.
fn identifier(text: &str) -> Option<(&str, &str)> {
    let first = |c: char| c == '_' || is_letter(c);
    let further = |c: char| first(c) || c == '.' || c.is_ascii_digit();
    text.starts_with(first)
        .then(|| text.split_at(text.find(|c| !further(c)).unwrap_or(text.len())))
}

/// What Python's `[a-z]` matches when case is ignored: four letters beyond ASCII fold into it.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || ['İ', 'ı', 'ſ', '\u{212a}'].contains(&c)
}
