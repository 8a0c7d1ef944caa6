//! Others at the same directory: a second process, a reader, an auditor.

use std::collections::HashSet;

use key_migration::ids::ResourceKind;
use key_migration::ledger::{Event, OpenIntent};
use key_migration::ports::Ledger;
use migration_ledger::{last_switch, open_intents, recorded};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::support::{
    Home, KEEPER, at, entry, intend, ledger_file, open_rows, refused, request, secret, switched,
    volume,
};

#[tokio::test]
async fn a_second_ledger_is_refused_until_the_first_lets_go() {
    let home = Home::new();
    let (first, second) = (home.ledger(), home.ledger());
    intend(&first, "v1").await;
    let fault = refused(&second).await;
    let by = format!("locked by process {}", std::process::id());
    assert!(fault.message.contains(&by), "{fault:?}");
    assert!(fault.remedy.starts_with("ps -fp "), "{fault:?}");
    second.note(KEEPER, entry(&volume("v1"), Event::NotStored));
    intend(&first, "v2").await;
    first.close().await;
    assert_eq!(open_rows(&second).await, ["v2"]);
}

#[tokio::test]
async fn a_process_that_finds_another_one_in_its_place_steps_back() {
    let home = Home::new();
    let (first, second) = (home.ledger(), home.ledger());
    intend(&first, "v1").await;
    std::fs::remove_file(home.state_dir().join("lock")).expect("removed");
    intend(&second, "v2").await;
    assert!(refused(&first).await.message.contains("locked by process"));
    second.close().await;
    intend(&first, "v3").await;
    assert_eq!(open_rows(&first).await, ["v1", "v2", "v3"]);
}

#[tokio::test]
async fn a_reader_sees_what_is_open_beside_the_process_that_writes() {
    let home = Home::new();
    assert_eq!(open_intents(&home.state_dir(), None).await, Ok(vec![]));
    let ledger = home.ledger();
    home.clock.set(5);
    intend(&ledger, "v1").await;
    ledger.note(KEEPER, entry(&volume("v1"), Event::Stored(secret(1))));
    let other = ledger
        .intend("another keeper", &volume("v2"), request(1))
        .await;
    other.expect("writable");
    let first = OpenIntent {
        row: volume("v1"),
        since: at(5),
        secret: Some(secret(1)),
    };
    let second = OpenIntent {
        row: volume("v2"),
        since: at(5),
        secret: None,
    };
    let read = open_intents(&home.state_dir(), Some(KEEPER)).await;
    assert_eq!(read, Ok(vec![first.clone()]));
    let read = open_intents(&home.state_dir(), None).await;
    assert_eq!(read, Ok(vec![first.clone(), second]));
    let read = open_intents(&home.state_dir(), Some("nobody")).await;
    assert_eq!(read, Ok(vec![]));
    intend(&ledger, "v3").await;
    ledger.close().await;
    let read = open_intents(&home.state_dir(), Some(KEEPER)).await;
    assert_eq!(read.expect("readable").len(), 2);
}

#[tokio::test]
async fn a_reader_sees_which_secrets_are_recorded_for_which_rows() {
    let home = Home::new();
    let pair = |id, number| (volume(id), secret(number));
    let asked = [
        pair("stored", 1),
        pair("stored", 2),
        pair("switched", 2),
        pair("superseded", 3),
        pair("gone", 4),
        pair("deleted", 5),
        pair("nobodys", 6),
    ];
    let read = recorded(&home.state_dir(), &asked).await;
    assert_eq!(read, Ok(HashSet::new()), "without a ledger");
    let ledger = home.ledger();
    for (id, number) in [
        ("stored", 1),
        ("switched", 2),
        ("superseded", 3),
        ("gone", 4),
        ("deleted", 5),
    ] {
        intend(&ledger, id).await;
        let stored = Event::Stored(secret(number));
        ledger.note(KEEPER, entry(&volume(id), stored));
    }
    for (id, event) in [
        ("switched", switched(2)),
        ("superseded", Event::Superseded(secret(3))),
        ("gone", Event::Gone(secret(4))),
        ("deleted", Event::Deleted(secret(5))),
    ] {
        ledger.note(KEEPER, entry(&volume(id), event));
    }
    ledger.close().await;
    let read = recorded(&home.state_dir(), &asked).await;
    let known = HashSet::from([pair("stored", 1), pair("switched", 2)]);
    assert_eq!(read, Ok(known));
}

#[tokio::test]
async fn a_reader_sees_when_a_row_was_last_switched() {
    let home = Home::new();
    assert_eq!(last_switch(&home.state_dir()).await, Ok(None));
    let ledger = home.ledger();
    intend(&ledger, "v1").await;
    ledger.flush().await.expect("writable");
    assert_eq!(last_switch(&home.state_dir()).await, Ok(None));
    for (time, id) in [(5, "v1"), (7, "v2")] {
        home.clock.set(time);
        ledger.note(
            KEEPER,
            entry(&volume(id), switched(time.unsigned_abs().into())),
        );
        ledger.flush().await.expect("writable");
        assert_eq!(last_switch(&home.state_dir()).await, Ok(Some(at(time))));
    }
    home.clock.set(9);
    ledger.note(KEEPER, entry(&volume("v2"), Event::Lost));
    ledger.close().await;
    assert_eq!(last_switch(&home.state_dir()).await, Ok(Some(at(7))));
}

#[tokio::test]
async fn a_reader_tells_what_is_wrong_and_makes_nothing() {
    let home = Home::new();
    std::fs::create_dir(home.state_dir()).expect("made");
    assert_eq!(open_intents(&home.state_dir(), None).await, Ok(vec![]));
    assert!(!ledger_file(&home.state_dir()).exists());
    std::fs::write(ledger_file(&home.state_dir()), "").expect("written");
    assert_eq!(open_intents(&home.state_dir(), None).await, Ok(vec![]));
    std::fs::write(ledger_file(&home.state_dir()), [b'x'; 4096]).expect("written");
    let fault = open_intents(&home.state_dir(), None)
        .await
        .expect_err("no ledger");
    assert!(fault.message.contains("is not a ledger"), "{fault:?}");
    let below = ledger_file(&home.state_dir()).join("below");
    let fault = open_intents(&below, None).await.expect_err("no directory");
    assert!(fault.message.contains("is not a directory"), "{fault:?}");
}

#[tokio::test]
async fn the_record_tells_everything_in_order_and_cannot_be_changed() {
    let home = Home::new();
    let ledger = home.ledger();
    home.clock.set(1);
    intend(&ledger, "v1").await;
    let switched = Event::Switched {
        secret: secret(1),
        snapshots: 2,
    };
    let events = [
        (Event::Stored(secret(1)), "stored"),
        (Event::Unanswered, "unanswered"),
        (Event::Found(secret(1)), "found"),
        (Event::NotStored, "not_stored"),
        (Event::GivenUp, "given_up"),
        (Event::LookedAgain, "looked_again"),
        (switched, "switched"),
        (Event::Lost, "lost"),
        (Event::Deleted(secret(1)), "deleted"),
        (Event::Gone(secret(1)), "gone"),
        (Event::Superseded(secret(1)), "superseded"),
    ];
    for (event, _) in &events {
        ledger.note(KEEPER, entry(&volume("v1"), event.clone()));
    }
    let listed = ledger.listed(KEEPER, ResourceKind::Volume).await;
    listed.expect("writable");
    ledger.close().await;

    let options = SqliteConnectOptions::new().filename(ledger_file(&home.state_dir()));
    let mut connection = options.connect().await.expect("it opens");
    let rows = sqlx::query("SELECT * FROM audit ORDER BY id");
    let rows = rows.fetch_all(&mut connection).await.expect("readable");
    let column = |name: &str| -> Vec<String> {
        let values = rows.iter().map(|row| row.get::<Option<String>, _>(name));
        values.map(Option::unwrap_or_default).collect()
    };
    let names = events.iter().map(|(_, name)| *name);
    let names: Vec<&str> = ["intended"]
        .into_iter()
        .chain(names)
        .chain(["listed"])
        .collect();
    assert_eq!(column("event"), names);
    assert!(column("at").iter().all(|at| at == "1970-01-01T00:00:01Z"));
    assert!(column("keeper").iter().all(|keeper| keeper == KEEPER));
    assert!(column("kind").iter().all(|kind| kind == "volume"));
    let about = |value: &str| vec![value.to_owned(); events.len()];
    let last = events.len() + 1;
    assert_eq!(column("row_id")[1..last], about("v1"));
    assert_eq!(
        (&*column("row_id")[0], &*column("row_id")[last]),
        ("v1", "")
    );
    assert_eq!(column("request_id")[0], request(1).to_string());
    assert_eq!(
        column("request_id")[1..last],
        about(&request(7).to_string())
    );
    let secrets: Vec<bool> = column("secret_id")
        .iter()
        .map(|id| !id.is_empty())
        .collect();
    let with = |names: &[&str]| {
        column("event")
            .iter()
            .map(|it| names.contains(&&**it))
            .collect()
    };
    let expected: Vec<bool> = with(&[
        "stored",
        "found",
        "switched",
        "deleted",
        "gone",
        "superseded",
    ]);
    assert_eq!(secrets, expected);
    let snapshots: Vec<Option<i64>> = rows.iter().map(|row| row.get("snapshots")).collect();
    let moved = column("event").into_iter().zip(snapshots);
    let moved: Vec<_> = moved.filter(|(_, moved)| moved.is_some()).collect();
    assert_eq!(moved, [("switched".to_owned(), Some(2))]);

    for change in ["DELETE FROM events", "UPDATE events SET secret_id = NULL"] {
        let refused = sqlx::query(change).execute(&mut connection).await;
        let refused = refused.expect_err("refused").to_string();
        assert!(refused.contains("events are kept as they are"), "{refused}");
    }
    connection.close().await.expect("closed");
}
