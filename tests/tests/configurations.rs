//! Generated configurations, through this project's reader and through oslo.config itself: values,
//! their sources, precedence and failures are the same.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

#[path = "../../crates/oslo-config/tests/case/mod.rs"]
mod case;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use key_migrator_tests::Services;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Value as Json, json};

use case::{Case, Declared, outcome};

const CONFIGURATIONS: u32 = 6000;

/// oslo.config in a process of its own, which answers a case a line.
struct OsloConfig {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl OsloConfig {
    fn start(services: &Services) -> Self {
        let program = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../crates/oslo-config/tests/corpus/record.py"
        );
        let mut process = Command::new(&services.python)
            .args(["-W", "ignore", program, "--serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It warns of every deprecated name.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            questions: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    fn outcome(&mut self, case: &Case) -> Json {
        writeln!(self.questions, "{}", serde_json::to_string(case).unwrap()).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).expect("oslo.config's process has ended")
    }
}

impl Drop for OsloConfig {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[test]
fn thousands_of_generated_configurations_come_out_as_oslo_config_has_them() {
    let theirs = RefCell::new(OsloConfig::start(&Services::from_env()));
    let seen = RefCell::new(BTreeMap::<&str, u32>::new());
    let config = Config {
        cases: CONFIGURATIONS,
        failure_persistence: None,
        ..Config::default()
    };
    // The same ones in every run: what fails can be repeated.
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let result = TestRunner::new_with_rng(config, random).run(&cases(), |case| {
        let wanted = theirs.borrow_mut().outcome(&case);
        let found = outcome(&case);
        for kind in kinds(&wanted) {
            *seen.borrow_mut().entry(kind).or_default() += 1;
        }
        if is_the_same(&case, &found, &wanted) {
            return Ok(());
        }
        Err(TestCaseError::fail(format!(
            "oslo.config: {wanted}\n  this crate:  {found}"
        )))
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let seen = seen.into_inner();
    println!("figure: {CONFIGURATIONS} configurations agree; what they came to: {seen:?}");
    for kind in ["syntax", "error", "user", "environment", "opt_default"] {
        let count = seen.get(kind).copied().unwrap_or_default();
        assert!(count > CONFIGURATIONS / 20, "too few of them: {seen:?}");
    }
}

/// What a configuration came to, for the sake of knowing that the generator reaches everything.
fn kinds(outcome: &Json) -> Vec<&'static str> {
    let Some(options) = outcome["options"].as_array() else {
        return vec!["syntax"];
    };
    let kind = |option: &Json| match option["origin"].as_str() {
        None => "error",
        Some("user") => "user",
        Some("environment") => "environment",
        Some(_) => "opt_default",
    };
    options.iter().map(kind).collect()
}

fn is_the_same(case: &Case, found: &Json, wanted: &Json) -> bool {
    if let (Some(found), Some(wanted)) = (found["syntax"].as_u64(), wanted["syntax"].as_u64()) {
        // What is wrong with a line shows in oslo.config only when the next one begins.
        return found <= wanted;
    }
    let (Some(ours), Some(theirs)) = (found["options"].as_array(), wanted["options"].as_array())
    else {
        return found == wanted;
    };
    let options = case.options.iter().zip(ours.iter().zip(theirs));
    options
        .into_iter()
        .all(|(option, (ours, theirs))| ours == theirs || is_on_purpose(option, ours, theirs))
}

/// An integer that has a default and is set to nothing is an error here, and None there.
fn is_on_purpose(option: &Declared, ours: &Json, theirs: &Json) -> bool {
    option.r#type == "integer"
        && !option.default.is_null()
        && ours["error"] == true
        && theirs["value"].is_null()
        && theirs["error"].is_null()
}

fn cases() -> impl Strategy<Value = Case> {
    let files = prop::collection::vec(file(), 1..=3);
    let environment = prop::collection::btree_map(variable(), value(), 0..=2);
    (files, environment, any::<bool>()).prop_map(|(texts, env, directory)| {
        let mut files = BTreeMap::new();
        let mut args = Vec::new();
        for (number, text) in texts.into_iter().enumerate() {
            // The last file in a directory of its own, named before the others.
            if directory && number == 2 {
                files.insert("d/a.conf".to_owned(), text);
                args.splice(0..0, ["--config-dir".to_owned(), "ROOT/d".to_owned()]);
            } else {
                files.insert(format!("{number}.conf"), text);
                args.extend(["--config-file".to_owned(), format!("ROOT/{number}.conf")]);
            }
        }
        Case {
            name: String::new(),
            files,
            args,
            env,
            options: options(),
        }
    })
}

/// One of every type, in two groups, with former names and groups.
fn options() -> Vec<Declared> {
    let option = |group: &str, name: &str, kind: &str, default: Json| Declared {
        group: group.into(),
        name: name.into(),
        r#type: kind.into(),
        default,
        min: None,
        max: None,
        deprecated: Vec::new(),
    };
    let former = |group: Option<&str>, name: Option<&str>| {
        (group.map(str::to_owned), name.map(str::to_owned))
    };
    vec![
        Declared {
            deprecated: vec![former(None, Some("old-a")), former(Some("old"), None)],
            ..option("DEFAULT", "a", "string", json!("d$b"))
        },
        option("DEFAULT", "b", "string", Json::Null),
        Declared {
            min: Some(-5),
            max: Some(70),
            ..option("DEFAULT", "n", "integer", json!(3))
        },
        option("DEFAULT", "on", "boolean", json!(false)),
        Declared {
            deprecated: vec![
                former(Some("old"), Some("a")),
                former(Some("DEFAULT"), Some("old_ga")),
            ],
            ..option("g", "a", "string", Json::Null)
        },
        option("g", "l", "list", json!(["x", "$a"])),
        option("g", "s", "secret", Json::Null),
        Declared {
            deprecated: vec![former(Some("old"), None)],
            ..option("g", "m", "multi", Json::Null)
        },
        option("g", "n", "integer", Json::Null),
    ]
}

fn variable() -> impl Strategy<Value = String> {
    select(vec![
        "OS_DEFAULT__A",
        "OS_DEFAULT__N",
        "OS_DEFAULT__ON",
        "OS_DEFAULT__OLD_A",
        "OS_G__A",
        "OS_G__L",
        "OS_g__a",
        "OS_OLD__A",
    ])
    .prop_map(str::to_owned)
}

fn file() -> impl Strategy<Value = String> {
    let end = select(vec!["\n", "\n", "\n", "\n", "\r\n", "\r", "\n\n"]);
    let line = prop_oneof![
        60 => assignment(),
        30 => (assignment(), continuation()).prop_map(|(line, more)| line + "\n" + &more),
        40 => section(),
        20 => select(vec!["# note", ";note", "#", "", "#a=1"]).prop_map(str::to_owned),
        1 => continuation(),
        1 => select(vec![
            "junk", "[g", "[]", "[g] # note", "= 1", ":", "[ ]", "\u{feff}a=1", " ", "\t ",
        ])
        .prop_map(str::to_owned),
    ];
    let lines = prop::collection::vec((line, end), 0..14);
    let begins = prop::bool::weighted(0.98);
    (begins, section(), lines, any::<bool>()).prop_map(|(begins, section, lines, ends)| {
        let mut text = String::new();
        if begins {
            text += &section;
            text += "\n";
        }
        for (line, end) in lines {
            text += &line;
            text += end;
        }
        if !ends {
            text.truncate(text.trim_end_matches(['\n', '\r']).len());
        }
        text
    })
}

/// An indented line, which goes on with the value before it.
fn continuation() -> impl Strategy<Value = String> {
    let more = prop_oneof![3 => value(), 1 => select(vec!["# x", "[g]", "b = 2", ""]).prop_map(str::to_owned)];
    (select(vec![" ", "\t", "  "]), more).prop_map(|(space, more)| space.to_owned() + &more)
}

fn section() -> impl Strategy<Value = String> {
    select(vec![
        "[DEFAULT]",
        "[DEFAULT]",
        "[DEFAULT]",
        "[g]",
        "[g]",
        "[G]",
        "[old]",
        "[default]",
        "[a.b]",
        "[g]  ",
        "[ g ]",
        "[[g]]",
        "[g#]",
    ])
    .prop_map(str::to_owned)
}

fn assignment() -> impl Strategy<Value = String> {
    let key = select(vec![
        "a", "a", "b", "n", "n", "on", "on", "l", "s", "m", "m", "old_a", "old-a", "old_ga", "A",
        "a b", "$a",
    ]);
    let separator = select(vec![
        "=", " = ", " =", "= ", ":", " : ", "=:", ":=", "\t=\t",
    ]);
    (key, separator, value()).prop_map(|(key, separator, value)| format!("{key}{separator}{value}"))
}

fn value() -> impl Strategy<Value = String> {
    let whole = select(vec![
        "",
        "1",
        "-5",
        "70",
        "71",
        "007",
        "1_0",
        "+3",
        " 4 ",
        "1.5",
        "0x1",
        "true",
        "False",
        "YES",
        "no",
        "On",
        "0",
        "maybe",
        "x,y",
        " x , y ,",
        ",,",
        ",",
        "x,,y",
        "$a",
        "${b}",
        "$g.a",
        "$n",
        "${g.l}",
        "$on",
        "$g.m",
        "\"quoted\"",
        "'quoted'",
        "\"",
        "''",
        "\"half",
        "half\"",
        "\"a\" b\"",
    ]);
    let piece = select(vec![
        "x",
        "y",
        "1",
        ",",
        " ",
        "  ",
        "=",
        ":",
        "#",
        ";",
        "$",
        "$$",
        "\\$",
        "$1",
        "\\",
        "{",
        "}",
        "$a",
        "${a}",
        "$b",
        "$n",
        "$on",
        "$g.a",
        "${g.s}",
        "$old_a",
        "$nope",
        "$g.nope",
        "$h.a",
        "${DEFAULT.a}",
        "${a",
        "$a.",
        "$a.b",
        "$_",
        "'",
        "\"",
        "é",
        "\u{1c}",
        "\u{a0}",
        "ı",
        "ſ",
        "[",
        "]",
        "%",
        "%(a)s",
    ]);
    prop_oneof![
        2 => whole.prop_map(str::to_owned),
        1 => prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat()),
    ]
}
