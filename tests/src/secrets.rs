//! Looks for what must be shown nowhere, however it is written.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// So many bytes of a key in a row are no chance. Whatever holds the whole key in base64 holds
/// [`GROUP`] of them at one of its three alignments.
const RUN: usize = 8;
/// Whole groups of three bytes, so that no neighbour shows in the base64 of them.
const GROUP: usize = 9;

/// By so many bytes at its beginning a text is looked up.
const HEAD: usize = 6;

/// What must be shown nowhere.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// What is looked for in whatever case, in lower case.
    caseless: Texts,
    /// What is looked for as it is.
    exact: Texts,
}

/// Texts by what they begin with, and what each is.
#[derive(Clone, Debug, Default)]
struct Texts(HashMap<Vec<u8>, Vec<(String, Vec<u8>)>>);

impl Texts {
    fn push(&mut self, name: &str, text: Vec<u8>) {
        let head = text
            .get(..HEAD)
            .expect("long enough to be no chance")
            .to_owned();
        self.0
            .entry(head)
            .or_default()
            .push((name.to_owned(), text));
    }

    fn shown_in(&self, bytes: &[u8]) -> Option<&str> {
        let begins = |at: usize| self.0.get(&bytes[at..at + HEAD]).map(|texts| (at, texts));
        let heads = (0..(bytes.len() + 1).saturating_sub(HEAD)).filter_map(begins);
        let mut candidates = heads.flat_map(|(at, texts)| texts.iter().map(move |it| (at, it)));
        let found = candidates.find(|(at, (_, text))| bytes[*at..].starts_with(text));
        found.map(|(_, (name, _))| name.as_str())
    }
}

impl Secrets {
    /// A key: every run of some of its bytes, raw, in hexadecimal of either case, in decimal as a
    /// debugger prints it, and in either alphabet of base64 at any alignment, padded or not.
    ///
    /// # Panics
    ///
    /// When the key is too short to be told from chance.
    #[must_use]
    pub fn key(mut self, key: &[u8]) -> Self {
        assert!(key.len() > GROUP, "a key of more than {GROUP} bytes");
        for run in key.windows(RUN) {
            self.exact.push("the key, raw", run.to_owned());
            let digits = hex::encode(run).into_bytes();
            self.caseless.push("the key in hexadecimal", digits);
            for separated in [
                format!("{run:?}"),
                format!("{run:x?}"),
                format!("{run:02x?}"),
            ] {
                let separated = separated.trim_matches(['[', ']']).as_bytes().to_owned();
                self.caseless.push("the key, byte by byte", separated);
            }
        }
        for group in key.windows(GROUP) {
            for alphabet in [STANDARD, URL_SAFE] {
                let text = alphabet.encode(group).into_bytes();
                self.exact.push("the key in base64", text);
            }
        }
        self
    }

    /// Any other text, as it is and in base64.
    #[must_use]
    pub fn text(mut self, name: &str, text: &str) -> Self {
        let whole = text.len() / 3 * 3;
        let encoded = STANDARD.encode(&text[..whole]).into_bytes();
        self.exact.push(name, text.as_bytes().to_owned());
        self.exact.push(&format!("{name} in base64"), encoded);
        self
    }

    /// What of it stands here, if anything.
    #[must_use]
    pub fn shown_in(&self, bytes: &[u8]) -> Option<&str> {
        let caseless = self.caseless.shown_in(&bytes.to_ascii_lowercase());
        caseless.or_else(|| self.exact.shown_in(bytes))
    }
}

/// Every file below a folder with its bytes.
///
/// # Errors
///
/// When something cannot be read.
pub fn files_below(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
            files.insert(path, Vec::new());
        } else {
            let bytes = std::fs::read(&path)?;
            files.insert(path, bytes);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    #[test]
    fn a_key_is_found_however_it_is_written() {
        let key: Vec<u8> = (0..32_u8)
            .map(|byte| byte.wrapping_mul(73) ^ 0xb5)
            .collect();
        let secrets = Secrets::default().key(&key).text("password", "pass word");
        let mut written = vec![
            key.clone(),
            hex::encode(&key).into_bytes(),
            hex::encode_upper(&key).into_bytes(),
            format!("{key:?}").into_bytes(),
            format!("{key:x?}").into_bytes(),
            hex::encode(&key[5..20]).into_bytes(),
        ];
        for before in 0..3 {
            let whole = [&vec![b' '; before][..], &key, b"!"].concat();
            for alphabet in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                written.push(alphabet.encode(&whole).into_bytes());
            }
        }
        for text in written {
            let text = [b"before ".as_slice(), &text, b" after"].concat();
            assert!(secrets.shown_in(&text).is_some(), "{text:?}");
        }
        assert_eq!(secrets.shown_in(b"a pass word."), Some("password"));
        for other in ["", "pass-word", "0123456789abcdef0123456789abcdef"] {
            assert_eq!(secrets.shown_in(other.as_bytes()), None);
        }
    }
}
