//! What the program logs, taken apart: oslo.log's default format.

/// The logger under which everything that operators grep for stands.
pub const MIGRATION: &str = "cinder.keymgr.migration";

/// One line: `2026-11-23 08:50:12.105 7 INFO cinder.keymgr.migration [None req-...] message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// `INFO`, `WARNING` and so on.
    pub level: String,
    /// The logger's name.
    pub logger: String,
    /// What stands in the brackets.
    pub context: String,
    /// The message.
    pub message: String,
}

impl LogLine {
    /// Takes a line apart, or `None` where it is not of the format.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let (date, time, pid) = (words.next()?, words.next()?, words.next()?);
        let (level, logger, rest) = (words.next()?, words.next()?, words.next()?);
        let digits = |text: &str, others: &[char]| {
            text.chars()
                .all(|c| c.is_ascii_digit() || others.contains(&c))
        };
        if !digits(date, &['-']) || !digits(time, &[':', '.']) || !digits(pid, &[]) {
            return None;
        }
        let (context, message) = rest.strip_prefix('[')?.split_once("] ")?;
        Some(Self {
            level: level.into(),
            logger: logger.into(),
            context: context.into(),
            message: message.into(),
        })
    }
}

/// Level and message of each line that the migration logged, in order.
#[must_use]
pub fn migration_lines(lines: &[String]) -> Vec<(String, String)> {
    lines
        .iter()
        .filter_map(|line| LogLine::parse(line))
        .filter(|line| line.logger == MIGRATION)
        .map(|line| (line.level, line.message))
        .collect()
}
