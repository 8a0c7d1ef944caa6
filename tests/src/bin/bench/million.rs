//! A million rows in each table: the counts, memory, pages, and the time to the first request.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use key_migrator_tests::{CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, million};
use sqlx::{ConnectOptions, MySqlConnection, Row};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::Arguments;
use crate::pages::{PAGES, Reader};
use crate::services::Started;
use crate::spread::Spread;

/// Of the volumes, how many are this host's at zeros.
const AT_ZEROS: u32 = 1_000;

const PATIENCE: Duration = Duration::from_secs(900);

/// Measures, and tells as Markdown.
pub(crate) async fn measure(arguments: &Arguments) -> Result<String> {
    let started = Started::with_workers(&arguments.home, 2).await?;
    let cloud = started.services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&started.services, Dialect::MariaDb).await?;
    let rows = arguments.rows;
    ensure!(rows > AT_ZEROS, "--rows must be more than {AT_ZEROS}");
    million::volumes(&database, rows, AT_ZEROS).await?;
    million::snapshots_and_backups(&database, rows).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?;

    let mut text = format!(
        "### {rows} volumes, {rows} snapshots and {rows} backups\n\n\
         {AT_ZEROS} of the volumes are this host's and at zeros. Real Barbican (2 workers) and \
         MariaDB.\n\n| what | figure |\n|---|---|\n"
    );
    let mut starts = Vec::new();
    for _ in 0..arguments.pairs {
        starts.push(to_first_request(&conf).await?.as_secs_f64() * 1000.0);
    }
    writeln!(
        text,
        "| cold start to the first request at Barbican, ms | {:.0} |",
        Spread::of(starts)
    )?;
    let mut server = started.services.mariadb.options().connect().await?;
    record_statements(&mut server, true).await?;
    tell_run(&mut text, &conf).await?;
    record_statements(&mut server, false).await?;
    tell_counts(&mut text, &mut server, rows).await?;
    drop(database);
    started.stop().await?;
    Ok(text)
}

/// From the start of the process to the first byte that comes to where it looks for Barbican.
async fn to_first_request(conf: &CinderConf) -> Result<Duration> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let conf = conf.clone().set("barbican", "barbican_endpoint", &url);
    let started = Instant::now();
    let program = Program::start_with(&conf, ["run", "--service", "volume"])?;
    let first = async {
        let (stream, _) = listener.accept().await?;
        stream.readable().await?;
        anyhow::Ok(started.elapsed())
    };
    let took = timeout(PATIENCE, first)
        .await
        .context("no request came")??;
    program.kill().await?;
    Ok(took)
}

/// One whole run, watched.
async fn tell_run(text: &mut String, conf: &CinderConf) -> Result<()> {
    let started = Instant::now();
    let mut program = Program::start_with(conf, ["run", "--service", "volume"])?;
    let pid = program.pid();
    let url = program.url().to_owned();
    program.line("Migrating volume").await?;
    let first = started.elapsed();
    let reader = Reader::start(&url);
    let done = program.line_within("There are still 1 volume(s)", PATIENCE);
    let (done, peak) = million::peak_rss_anon(pid, done).await?;
    done?;
    let took = started.elapsed();
    let pages = reader.stop().await?;
    let (_, metrics) = program.page("/metrics").await?;
    program.terminate().await?;
    writeln!(
        text,
        "| {AT_ZEROS} keys, from the start of the process, s | {:.1} (the first key after {:.2}) |\n\
         | peak RssAnon, MiB | {:.1} |\n\
         | requests to Barbican a key, everything included | {:.2} |",
        took.as_secs_f64(),
        first.as_secs_f64(),
        f64::from(u32::try_from(peak)?) / 1024.0,
        requests_to_barbican(&metrics) / f64::from(AT_ZEROS)
    )?;
    for (page, times) in PAGES.iter().zip(pages) {
        writeln!(
            text,
            "| `{page}` while migrating, ms, {} times | median {:.2}, p99 {:.2}, most {:.2} |",
            times.asked, times.median, times.p99, times.most
        )?;
    }
    Ok(())
}

/// By the program's own metrics.
fn requests_to_barbican(metrics: &str) -> f64 {
    let counts = metrics.lines().filter(|line| {
        line.starts_with("cinder_key_migrator_request_duration_seconds_count{")
            && line.contains("api=\"barbican\"")
    });
    let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    counts.sum()
}

/// Lets the server write every statement of new connections into `mysql.slow_log`.
async fn record_statements(server: &mut MySqlConnection, on: bool) -> Result<()> {
    let sql = if on {
        "TRUNCATE mysql.slow_log; SET GLOBAL log_output = 'TABLE'; \
         SET GLOBAL long_query_time = 0; SET GLOBAL slow_query_log = 1"
    } else {
        "SET GLOBAL slow_query_log = 0; SET GLOBAL long_query_time = DEFAULT"
    };
    sqlx::raw_sql(sql).execute(server).await?;
    Ok(())
}

/// What the program's own counts over whole tables took, as the server timed them.
async fn tell_counts(text: &mut String, server: &mut MySqlConnection, rows: u32) -> Result<()> {
    for table in ["volumes", "snapshots", "backups"] {
        let sql = "SELECT CAST(query_time AS DOUBLE) * 1000 FROM mysql.slow_log \
                   WHERE sql_text LIKE ? AND sql_text LIKE ? AND rows_examined >= ?";
        let times = sqlx::query(sql)
            .bind("SELECT%COUNT(*)%")
            .bind(format!("%FROM {table}%"))
            .bind(rows / 2)
            .fetch_all(&mut *server)
            .await?;
        let times: Vec<f64> = times.iter().map(|row| row.get(0)).collect();
        if times.is_empty() {
            writeln!(
                text,
                "| count of {table} over the whole table, ms | none was made |"
            )?;
        } else {
            let number = times.len();
            let spread = Spread::of(times);
            writeln!(
                text,
                "| count of {table} over the whole table, ms, {number} times | {spread:.0} |"
            )?;
        }
    }
    let keys = sqlx::query("SELECT COUNT(*) FROM mysql.slow_log WHERE user_host LIKE '%cinder_%'")
        .fetch_one(&mut *server)
        .await?;
    let statements: i64 = keys.get(0);
    #[expect(clippy::cast_precision_loss, reason = "some thousands of statements")]
    let each = statements as f64 / f64::from(AT_ZEROS);
    writeln!(
        text,
        "| statements a key, everything included | {each:.1} |"
    )?;
    Ok(())
}
