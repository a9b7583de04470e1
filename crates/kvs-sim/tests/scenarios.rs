//! Stories about directories that are put back and clocks that are wrong, told step by step: nothing in them depends on
//! chance.

use kvs_sim::script::{HOUR_MS, SECOND_MS, Script, YEAR_MS};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// Milliseconds since 1970 of a moment in the year 9999.
const YEAR_9999_MS: u64 = 253_390_000_000_000;

type Told = Result<(), String>;

/// `count` new keys are put at a machine, one every few milliseconds.
fn put_many(script: &mut Script, place: usize, folder: &str, count: usize, value: &str) -> Told {
    for number in 0..count {
        script.put(place, &format!("{folder}/{number}"), &format!("\"{value} {number}\""))?;
    }
    Ok(())
}

fn expect_many(script: &Script, places: &[usize], folder: &str, count: usize, value: &str) -> Told {
    for number in 0..count {
        script.expect(places, &format!("{folder}/{number}"), Some(&format!("\"{value} {number}\"")))?;
    }
    Ok(())
}

fn expect_many_kept(script: &Script, place: usize, folder: &str, count: usize, value: &str) -> Told {
    for number in 0..count {
        script.expect_kept(place, &format!("{folder}/{number}"), &format!("\"{value} {number}\""))?;
    }
    Ok(())
}

/// The clock of C runs ahead where nobody sees it, and C writes; then A and B hear of it and park what it wrote.
fn write_ahead_and_park(script: &mut Script, wall_ms: u64, folder: &str, count: usize) -> Told {
    script.cut_off(C);
    script.set_clock_to(C, wall_ms);
    put_many(script, C, folder, count, "ahead")?;
    script.mend();
    script.settle()?;
    for place in [A, B] {
        let parked = script.world.store(place).ok_or("it does not run")?.standing().parked;
        if parked != u64::try_from(count).map_err(|error| error.to_string())? {
            return Err(format!("{place} has parked {parked} and not {count}"));
        }
    }
    Ok(())
}

// A: put back, with nobody to be heard at the start.

#[test]
fn what_is_written_alone_after_a_directory_was_put_back_reaches_everybody() -> Told {
    let mut script = Script::begin(3)?;
    put_many(&mut script, A, "before", 50, "before")?;
    let copy = script.copy(A)?;
    put_many(&mut script, A, "lost", 250, "of the lost life")?;
    script.settle()?;
    script.cut_off(A);
    script.put_back(&copy)?;
    put_many(&mut script, A, "new", 200, "of the new life")?;
    script.run_for(10)?;
    script.mend();
    script.settle()?;
    script.settle()?;
    expect_many(&script, &[A, B, C], "new", 200, "of the new life")?;
    expect_many(&script, &[A, B, C], "lost", 250, "of the lost life")?;
    expect_many(&script, &[A, B, C], "before", 50, "before")?;
    script.expect_promises()
}

#[test]
fn the_same_when_the_process_is_refused_once() -> Told {
    let mut script = Script::begin(3)?;
    put_many(&mut script, A, "before", 50, "before")?;
    let copy = script.copy(A)?;
    script.stop(A);
    script.start(A)?;
    put_many(&mut script, A, "lost", 250, "of the lost life")?;
    script.settle()?;
    script.cut_off(A);
    script.put_back(&copy)?;
    put_many(&mut script, A, "new", 200, "of the new life")?;
    script.run_for(10)?;
    script.mend();
    script.settle()?;
    script.settle()?;
    expect_many(&script, &[A, B, C], "new", 200, "of the new life")?;
    expect_many(&script, &[A, B, C], "lost", 250, "of the lost life")?;
    script.expect_promises()
}

#[test]
fn two_lives_that_nobody_heard_gave_the_same_numbers() -> Told {
    let mut script = Script::begin(3)?;
    put_many(&mut script, A, "before", 50, "before")?;
    script.settle()?;
    script.cut_off(A);
    let copy = script.copy(A)?;
    put_many(&mut script, A, "k", 100, "of the lost life")?;
    // B hears half of the lost life, C nothing.
    script.mend();
    script.cut_off(C);
    put_many(&mut script, A, "heard", 100, "of the lost life")?;
    script.run_for(10)?;
    script.cut_off(A);
    script.put_back(&copy)?;
    put_many(&mut script, A, "k", 200, "of the new life")?;
    script.run_for(5)?;
    script.mend();
    script.settle()?;
    script.settle()?;
    expect_many(&script, &[A, B, C], "k", 200, "of the new life")?;
    expect_many(&script, &[A, B, C], "heard", 100, "of the lost life")?;
    script.expect_promises()
}

// B: put back among its peers; clients wait for all copies.

#[test]
fn what_all_are_said_to_have_after_a_directory_was_put_back_is_on_all_disks() -> Told {
    let mut script = Script::begin(3)?;
    put_many(&mut script, A, "before", 50, "before")?;
    let copy = script.copy(A)?;
    put_many(&mut script, A, "lost", 250, "of the lost life")?;
    script.settle()?;
    script.put_back(&copy)?;
    for number in 0..60 {
        script.put_on_all(A, &format!("new/{number}"), &format!("\"confirmed {number}\""))?;
    }
    script.settle()?;
    expect_many(&script, &[A, B, C], "new", 60, "confirmed")?;
    expect_many(&script, &[A, B, C], "lost", 250, "of the lost life")?;
    script.expect_promises()
}

// C: a new machine fetches everything from one whose clock is ahead, while the others are away.

fn bootstrap_from_ahead(ahead_of: impl Fn(u64) -> u64) -> Told {
    let mut script = Script::begin(3)?;
    put_many(&mut script, A, "k", 100, "first")?;
    put_many(&mut script, B, "k", 100, "second")?;
    script.settle()?;
    let wall_ms = ahead_of(script.world.clock.wall_ms());
    write_ahead_and_park(&mut script, wall_ms, "k", 100)?;
    script.stop(A);
    script.stop(B);
    script.run_for(5)?;
    let new = script.join()?;
    script.settle()?;
    script.start(A)?;
    script.start(B)?;
    script.settle()?;
    script.settle()?;
    for place in [A, B] {
        expect_many_kept(&script, place, "k", 100, "second")?;
        expect_many_kept(&script, place, "k", 100, "first")?;
    }
    script.set_clock(C, 0);
    script.settle()?;
    script.settle()?;
    for place in [A, B] {
        expect_many_kept(&script, place, "k", 100, "second")?;
        expect_many_kept(&script, place, "k", 100, "first")?;
    }
    expect_many(&script, &[A, B, C, new], "k", 100, "ahead")?;
    script.expect_promises()
}

#[test]
fn a_machine_that_begins_from_one_an_hour_ahead_takes_nothing_from_those_that_were_away() -> Told {
    bootstrap_from_ahead(|wall_ms| wall_ms.saturating_add_signed(HOUR_MS))
}

#[test]
fn a_machine_that_begins_from_one_in_the_year_9999_takes_nothing_from_those_that_were_away() -> Told {
    bootstrap_from_ahead(|_| YEAR_9999_MS)
}

// D: a clock ahead that comes right again; what is written later wins, and what is deleted later stays deleted.

/// B writes by a clock that is ahead, then its clock comes right; some seconds later A writes and deletes.
fn later_writes_after(ahead_ms: i64) -> Result<Script, String> {
    let mut script = Script::begin(3)?;
    for path in ["k", "gone", "tree/a", "tree/b/c", "both"] {
        script.put(A, path, "\"old\"")?;
    }
    script.settle()?;
    script.cut_off(B);
    script.set_clock(B, ahead_ms);
    for path in ["k", "gone", "tree/a", "tree/b/c", "both", "alone"] {
        script.put(B, path, "\"ahead\"")?;
    }
    script.mend();
    script.run_for(20)?;
    script.set_clock(B, 0);
    script.run_for(15)?;
    script.put(A, "k", "\"later\"")?;
    for path in ["gone", "tree/a", "tree/b/c"] {
        script.delete(A, path)?;
    }
    script.run_for(10)?;
    script.put(B, "both", "\"later still\"")?;
    script.settle()?;
    script.settle()?;
    Ok(script)
}

fn expect_later(script: &Script) -> Told {
    let all = [A, B, C];
    script.expect(&all, "k", Some("\"later\""))?;
    for path in ["gone", "tree/a", "tree/b/c"] {
        script.expect(&all, path, None)?;
    }
    script.expect(&all, "both", Some("\"later still\""))?;
    script.expect(&all, "alone", Some("\"ahead\""))?;
    script.expect_promises()
}

#[test]
fn later_writes_win_over_those_of_a_clock_that_was_ten_years_ahead() -> Told {
    expect_later(&later_writes_after(10 * YEAR_MS)?)
}

#[test]
fn later_deletes_stay_deleted_after_a_clock_was_forty_seconds_ahead() -> Told {
    let mut script = later_writes_after(40 * SECOND_MS)?;
    expect_later(&script)?;
    // The time that the clock was ahead comes and goes.
    script.settle()?;
    expect_later(&script)
}

#[test]
fn a_write_made_before_the_clock_came_right_wins_too() -> Told {
    let mut script = Script::begin(3)?;
    script.put(A, "k", "\"old\"")?;
    script.put(A, "gone", "\"old\"")?;
    script.settle()?;
    script.cut_off(B);
    script.set_clock(B, 40 * SECOND_MS);
    script.put(B, "k", "\"ahead\"")?;
    script.put(B, "gone", "\"ahead\"")?;
    script.mend();
    script.run_for(10)?;
    // B's clock is still ahead, so that A has parked what B wrote and clients of A see the old values.
    script.put(A, "k", "\"later\"")?;
    script.delete(A, "gone")?;
    script.run_for(10)?;
    script.set_clock(B, 0);
    script.settle()?;
    script.settle()?;
    script.expect(&[A, B, C], "k", Some("\"later\""))?;
    script.expect(&[A, B, C], "gone", None)?;
    script.expect_promises()
}

// E: a clock that falls back to 1970.

#[test]
fn a_clock_that_falls_to_1970_and_comes_back_loses_nothing_and_takes_nothing_back() -> Told {
    let mut script = Script::begin(3)?;
    put_many(&mut script, A, "k", 50, "old")?;
    put_many(&mut script, B, "b", 50, "old")?;
    script.settle()?;
    let before = script.world.ledger.mirror(A).keys;
    script.set_clock_to(B, 1_000_000);
    script.run_for(5)?;
    put_many(&mut script, B, "new", 50, "of 1970")?;
    put_many(&mut script, B, "b", 25, "over the old")?;
    script.settle()?;
    script.set_clock(B, 0);
    script.settle()?;
    script.settle()?;
    expect_many(&script, &[A, B, C], "k", 50, "old")?;
    expect_many(&script, &[A, B, C], "new", 50, "of 1970")?;
    expect_many(&script, &[A, B, C], "b", 25, "over the old")?;
    // What was held before and not written since is held in the same version: nothing was written anew.
    for (key, held) in &script.world.ledger.mirror(A).keys {
        let is_written_since = key.path.as_str().starts_with("new/") || key.path.as_str().starts_with("b/");
        if !is_written_since && before.get(key) != Some(held) {
            return Err(format!("{key:?} was {:?} and is {held:?}", before.get(key)));
        }
    }
    script.expect_promises()
}
