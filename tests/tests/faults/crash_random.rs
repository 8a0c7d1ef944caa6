//! A large run on real services is killed again and again, at any instant, and comes to its end.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use key_migrator_tests::Services;
use key_migrator_tests::crash::LargeRun;

/// Longer than a key is in flight here: a kill comes at any stage of one.
const LIFE_OF_A_KEY: Duration = Duration::from_millis(300);

/// Fewer rows than this are not worth a kill.
const FEW: usize = 100;

/// The environment variable with a seed to repeat.
const SEED: &str = "KEY_MIGRATOR_TEST_SEED";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_kills_of_one_run_leave_nothing_behind() -> Result<()> {
    kill_again_and_again(30).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn a_thousand_kills_of_one_run_leave_nothing_behind() -> Result<()> {
    kill_again_and_again(1_000).await
}

async fn kill_again_and_again(kills: usize) -> Result<()> {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse()?,
        Err(_) => fastrand::u64(..),
    };
    show(&format!("{kills} kills with {SEED}={seed}"))?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut run = LargeRun::new(&Services::from_env()).await?;
    run.plant(500, 50).await?;
    for kill in 0..kills {
        let left = run.count_zeros().await?;
        if left < FEW {
            run.plant(500, 50).await?;
        }
        // With none a kill comes at start-up; most leave work for the kills to come.
        let most = (left / (kills - kill) / 2).clamp(4, 40);
        let moment = LIFE_OF_A_KEY.mul_f64(random.f64());
        run.kill_after(random.usize(0..=most), moment).await?;
    }
    let finished = run.finish().await;
    show(&run.figures().await?)?;
    finished?;
    run.assert_clean().await
}

/// Prints a figure past the test harness, which keeps to itself what a test that passes prints.
fn show(figure: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "figure: {figure}")?)
}
