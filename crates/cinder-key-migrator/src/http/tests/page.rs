use key_migration::host_rows::HostRowsBuilder;
use key_migration::ids::{ResourceKind, RowRef};
use key_migration::progress::RowTrouble;
use key_migration::verdict::{Attestation, Evidence, EvidenceBook, Finding, Item};

use super::*;

fn trouble(id: &str, failed: bool, reason: RowReason, since: &str) -> RowTrouble {
    RowTrouble {
        row: RowRef {
            kind: ResourceKind::Volume,
            id: id.into(),
        },
        failed,
        reason,
        message: format!("what was seen of {id}"),
        since: at(since),
    }
}

/// What stands on the page, its white space made one.
async fn shown(process: &Process) -> String {
    let (code, html) = process.get("/").await;
    assert_eq!(code, StatusCode::OK);
    html.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn every_state_is_shown_by_its_name_and_what_it_means() {
    let process = process();
    for state in ServiceState::ALL {
        process.volume.send_modify(|it| it.state = state);
        let html = shown(&process).await;
        let name = state.as_str();
        let badge = format!("<p class=\"state {name}\"><strong>{name}</strong>");
        assert!(html.contains(&badge), "{html}");
        let title = format!("<title>{name}, starting – keys of host1</title>");
        assert!(html.contains(&title), "{html}");
        let summary = format!("volume service: {name}. backup service: starting. May");
        assert!(html.contains(&summary), "{html}");
    }
}

#[tokio::test]
async fn a_blocked_service_shows_reason_remedy_and_the_next_attempt() {
    let process = process();
    process.volume.send_modify(blocked_for_a_role);
    let html = shown(&process).await;
    for part in [
        "<code>role_missing</code> Forbidden: Secret creation attempt not allowed</p>",
        "<pre>openstack role add --user cinder --project service creator</pre>",
        "Tries again by itself at 2026-11-23 08:02:00 UTC.",
        "volume service: blocked, role_missing. backup service: starting.",
        "<dt>left here</dt><dd>35</dd>",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
}

#[tokio::test]
async fn progress_has_a_rate_and_an_estimate_where_there_is_one() {
    let process = process();
    let html = shown(&process).await;
    assert!(!html.contains("<progress"), "{html}");
    assert_eq!(html.matches("were not looked at yet").count(), 2);
    process.volume.send_modify(|it| {
        it.state = ServiceState::Migrating;
        it.pass.number = 1;
        it.keys.migrated = 1_000;
        it.keys.remaining = 1_234_567;
        it.rate_per_second = 12.34;
        it.eta_seconds = Some(100_050);
    });
    let html = shown(&process).await;
    for part in [
        "value=\"1000\" max=\"1235567\"",
        "<dd>1,234,567</dd>",
        "12.3 keys a second, about 1 d 3 h left",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    for (seconds, told) in [
        (59, "59 s"),
        (61, "1 min 1 s"),
        (7_199, "1 h 59 min"),
        (86_400, "1 d 0 h"),
    ] {
        process
            .volume
            .send_modify(|it| it.eta_seconds = Some(seconds));
        let part = format!("about {told} left");
        assert!(shown(&process).await.contains(&part), "{part}");
    }
    process.volume.send_modify(|it| it.eta_seconds = None);
    let html = shown(&process).await;
    assert!(html.contains("12.3 keys a second</p>"), "{html}");
}

#[tokio::test]
async fn rows_in_trouble_are_told_by_reason_failures_first_with_the_last_of_each() {
    let process = process();
    let all = [
        trouble("one", false, RowReason::Held, "2026-11-23T08:00:00Z"),
        trouble("two", false, RowReason::Held, "2026-11-23T08:00:02Z"),
        trouble("three", false, RowReason::Held, "2026-11-23T08:00:01Z"),
        trouble("four", true, RowReason::InvalidRow, "2026-11-23T08:00:00Z"),
    ];
    assert!(shown(&process).await.contains("None on this host."));
    process.volume.send_modify(|it| {
        it.troubles = Arc::new(all.into());
        it.totals.row_failures.insert(RowReason::InvalidRow, 1_200);
        it.totals.faults.insert(Reason::RoleMissing, 2);
    });
    process
        .backup
        .send_modify(|it| _ = it.totals.faults.insert(Reason::RoleMissing, 1));
    let html = shown(&process).await;
    let failed =
        html.find("failed: <code>invalid_row</code></td> <td>1</td> <td>volume <code>four");
    let waits = html.find("waits: <code>held</code></td> <td>3</td> <td>volume <code>two</code>, 2026-11-23 08:00:02 UTC: what was seen of two");
    assert!(failed.is_some() && failed < waits, "{html}");
    let since = "Failures since the start: 1,200 × <code>invalid_row</code>, 3 × <code>role_missing</code></p>";
    assert!(html.contains(since), "{html}");
}

#[tokio::test]
async fn the_verdict_is_shown_with_what_is_in_its_way_and_who_answers_for_the_rest() {
    let looked_at = at("2026-11-23T08:00:00Z");
    let seen = Evidence {
        finding: Finding::Blocking(2),
        looked_at,
        message: "2 images <here>".into(),
    };
    let attestation = Attestation {
        by: "R. Operator".into(),
        at: looked_at,
    };
    let book = EvidenceBook {
        seen: [(Item::Images, seen)].into(),
        attested: [(Item::OtherRegions, attestation)].into(),
    };
    let process = process_that_knows(Known {
        book,
        last_change: None,
    });
    let html = shown(&process).await;
    for part in [
        "<p class=\"state no\"><strong>no</strong>",
        "<li class=\"found\"><span class=\"code\">images_on_fixed_key</span> 2 images &#60;here&#62;</li>",
        "compared (<code>verify --all-hosts</code>)</li>",
        "<li><span class=\"code\">payloads_not_verified</span> ",
        "no other region or cloud uses this fixed key <span class=\"quiet\">(R. Operator, 2026-11-23 08:00:00 UTC)",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
}

#[tokio::test]
async fn what_is_left_everywhere_is_told_by_kind_and_orphans_are_counted() {
    let process = process();
    assert!(shown(&process).await.contains("Not counted yet."));
    let mut gathered = HostRowsBuilder::default();
    gathered.add(ResourceKind::Volume, Some("host1@lvm#pool"), None, 32, true);
    gathered.add(ResourceKind::Backup, Some("host1"), None, 4, true);
    gathered.add(ResourceKind::Volume, Some("a@b"), Some("c@b"), 2, false);
    gathered.add(ResourceKind::Volume, None, None, 1, false);
    let census = Census {
        volumes: 35,
        snapshots: 7_000,
        backups: 4,
        unowned_volumes: 3,
        unowned_backups: 1,
        hosts: 2,
        by_host: gathered.build(),
    };
    let counted_at = at("2026-11-23T08:01:02Z");
    process
        .counted
        .send_replace(Some(Counted { counted_at, census }));
    process
        .volume
        .send_modify(|it| it.totals.orphan_secrets = 2);
    let html = shown(&process).await;
    for part in [
        "<th scope=\"row\">volumes</th><td>35</td><td>3</td>",
        "<th scope=\"row\">snapshots</th><td>7,000</td><td></td>",
        "<th scope=\"row\">backups</th><td>4</td><td>1</td>",
        "<th scope=\"row\"><code>a@b</code>, cluster <code>c@b</code></th><td>2</td><td>0</td><td class=\"bad\">not up</td>",
        "<th scope=\"row\">no host</th><td>1</td><td>0</td><td class=\"bad\">not up</td>",
        "<th scope=\"row\"><code>host1@lvm</code></th><td>32</td><td>0</td><td>up</td>",
        "<th scope=\"row\"><code>host1</code></th><td>0</td><td>4</td><td>up</td>",
        "Counted 2026-11-23 08:01:02 UTC.",
        "Superseded secrets of this host: 2 (<code>cinder-key-migrator orphans list</code>)",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
}

#[tokio::test]
async fn texts_of_others_stay_texts() {
    let process = process();
    let script = "<script>alert('\"&')</script>";
    process.volume.send_modify(|it| {
        blocked_for_a_role(it);
        it.remedy = Some(script.into());
        it.owned = vec![script.into()];
        if let Some(reason) = &mut it.reason {
            reason.message = script.into();
        }
        let mut row = trouble(script, true, RowReason::Refused, "2026-11-23T08:00:00Z");
        row.message = script.into();
        it.troubles = Arc::new(vec![row]);
    });
    process.host.send_replace(script.into());
    let html = shown(&process).await;
    assert!(!html.contains("<script>"), "{html}");
    let escaped = "&#60;script&#62;alert(&#39;&#34;&#38;&#39;)&#60;/script&#62;";
    assert_eq!(html.matches(escaped).count(), 7, "{html}");
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_is_not_alive_is_told_above_all() {
    let process = process();
    assert!(!shown(&process).await.contains("Not healthy"));
    tokio::time::advance(Duration::from_secs(62)).await;
    let html = shown(&process).await;
    let alarm = "Not healthy: the loop of the volume service has not moved for 62 s.";
    assert!(html.contains(alarm), "{html}");
}

#[tokio::test]
async fn the_page_is_small_and_needs_nothing_from_elsewhere() {
    let process = process();
    let mut size = 0;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/page.svg", "image/svg+xml"),
    ] {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = process.send(request).await;
        let headers = answer.headers();
        assert_eq!(headers["content-type"], kind);
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(!policy.contains("unsafe"), "{policy}");
        let (code, text) = text(answer).await;
        assert_eq!(code, StatusCode::OK);
        let elsewhere = text.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        assert!(!elsewhere.contains("://"), "{path}");
        assert!(!text.contains(" style="), "{path}");
        size += text.len();
    }
    assert!(size < 16 * 1024, "{size} bytes");
}
