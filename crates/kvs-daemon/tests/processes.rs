//! Instances as real processes: this test binary runs itself as the daemon.
//!
//! The `child_...` tests are the bodies of those processes. They are ignored, and do nothing without their arguments.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing step must fail the test")]

use std::ffi::OsString;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use kvs_daemon::error::DaemonError;
use kvs_daemon::home::Home;
use kvs_daemon::limits::{START_TIMEOUT, STOP_TIMEOUT};
use kvs_daemon::pidfile::PidFile;
use kvs_daemon::session::detach;
use kvs_daemon::start::{Started, start};
use kvs_daemon::status::{State, status, status_of};
use kvs_daemon::stop::stop;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, getsid, kill_process};

/// A home folder of its own for each test, and what was started in it.
struct Lab {
    folder: tempfile::TempDir,
    home: Home,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_owned());
        Self { folder, home }
    }

    fn config(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pid_path(&self) -> PathBuf {
        self.home.pid_path("n.yaml")
    }

    /// The arguments that make this binary run the child `body`.
    fn args(&self, body: &str, config: &Path) -> Vec<OsString> {
        let own = ["--ignored", "--exact", "--nocapture", body].map(OsString::from);
        own.into_iter().chain([self.folder.path().into(), config.into()]).collect()
    }

    fn start(&self, body: &str, config: &Path) -> Result<Started, DaemonError> {
        start(&self.home, config, &program(), &self.args(body, config), START_TIMEOUT)
    }

    /// Starts a daemon that SIGTERM does not end. A signal that is ignored stays so in what `exec` runs.
    fn start_stubborn(&self, config: &Path) -> Started {
        let script = ["-c", "trap '' TERM; exec \"$@\"", "sh"].map(OsString::from);
        let own = [program().into_os_string()].into_iter().chain(self.args("child_serves", config));
        let args: Vec<OsString> = script.into_iter().chain(own).collect();
        start(&self.home, config, Path::new("/bin/sh"), &args, START_TIMEOUT).unwrap()
    }
}

impl Drop for Lab {
    /// Ends by number what a failed test left. Children of this process keep their number until it waits for them.
    fn drop(&mut self) {
        for pid in status(&self.home).unwrap_or_default().iter().filter_map(|instance| instance.pid) {
            if pid != std::process::id() {
                kill(pid);
            }
        }
    }
}

fn program() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
}

/// Looks again until it is so, for at most a minute.
fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..6000 {
        if so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} did not come true");
}

/// A process that has nothing to do with kvs.
struct Bystander(Child);

impl Bystander {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    fn start_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().parse().unwrap()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Home and configuration of a child; `None` when this is no child.
fn child() -> Option<(Home, PathBuf)> {
    let mut paths = std::env::args_os().skip(1).filter(|arg| Path::new(arg).is_absolute());
    Some((Home::at(paths.next()?.into()), paths.next()?.into()))
}

#[test]
#[ignore = "the body of a child process"]
fn child_serves() {
    let Some((home, config)) = child() else { return };
    detach().unwrap();
    let mut pid_file = match PidFile::acquire(&home, &config) {
        Ok(pid_file) => pid_file,
        Err(error) => panic!("{error}"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    pid_file.announce(listener.local_addr().unwrap(), "alpha").unwrap();
    for connection in listener.incoming() {
        drop(connection);
    }
}

#[test]
#[ignore = "the body of a child process"]
fn child_never_announces() {
    let Some((home, config)) = child() else { return };
    let _pid_file = PidFile::acquire(&home, &config).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
#[ignore = "the body of a child process"]
#[expect(clippy::print_stderr, reason = "this is the log")]
fn child_fails() {
    if child().is_some() {
        for number in 1..=30 {
            eprintln!("reason {number}");
        }
        std::process::exit(7);
    }
}

#[test]
fn a_started_instance_answers_and_a_stopped_one_is_gone() {
    let lab = Lab::new();
    let config = lab.config("n.yaml");
    let started = lab.start("child_serves", &config).unwrap();
    TcpStream::connect(started.address).unwrap();
    assert_eq!((started.name.as_str(), started.node_id.as_str()), ("n.yaml", "alpha"));
    assert_eq!(started.log, lab.folder.path().join(".kvs/logs/kvs_n.yaml.log"));
    assert_eq!(started.log.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(lab.pid_path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let pid = Pid::from_raw(started.pid.try_into().unwrap()).unwrap();
    assert_eq!(getsid(Some(pid)).unwrap(), pid, "it leads a session of its own");

    let found = status_of(&lab.home, &config).unwrap().unwrap();
    assert_eq!(
        (found.state, found.pid, found.address),
        (State::Running, Some(started.pid), Some(started.address))
    );

    assert_eq!(stop(&lab.home, &config, STOP_TIMEOUT).unwrap().pid, started.pid);
    assert!(TcpStream::connect(started.address).is_err());
    assert!(!lab.pid_path().exists());
    assert!(matches!(stop(&lab.home, &config, STOP_TIMEOUT), Err(DaemonError::NotRunning { .. })));
    assert_eq!(status(&lab.home).unwrap(), []);
}

#[test]
fn many_instances_run_side_by_side() {
    let lab = Lab::new();
    let configs = ["a.yaml", "b.yaml", "c.yaml"].map(|name| lab.config(name));
    for config in &configs {
        lab.start("child_serves", config).unwrap();
    }
    let [_, second, _] = &configs;
    stop(&lab.home, second, STOP_TIMEOUT).unwrap();
    let running: Vec<String> = status(&lab.home).unwrap().into_iter().map(|instance| instance.name).collect();
    assert_eq!(running, ["a.yaml", "c.yaml"]);
}

#[test]
fn of_two_starts_at_once_one_wins_and_the_other_says_so() {
    let lab = Lab::new();
    let config = lab.config("n.yaml");
    for _ in 0..3 {
        let results = std::thread::scope(|scope| {
            let starts: [_; 4] = std::array::from_fn(|_| scope.spawn(|| lab.start("child_serves", &config)));
            starts.map(|start| start.join().unwrap())
        });
        let winners: Vec<&Started> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        let [winner] = winners.as_slice() else { panic!("not one winner: {results:?}") };
        for loser in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(
                matches!(loser, DaemonError::AlreadyRunning { pid, .. } if *pid == winner.pid),
                "unclear message: {loser}"
            );
        }
        stop(&lab.home, &config, STOP_TIMEOUT).unwrap();
    }
}

#[test]
fn a_killed_instance_is_stale_and_can_be_started_again() {
    let lab = Lab::new();
    let config = lab.config("n.yaml");
    let killed = lab.start("child_serves", &config).unwrap();
    kill(killed.pid);
    until("stale", || {
        status_of(&lab.home, &config).unwrap().is_some_and(|found| found.state == State::Stale)
    });
    let again = lab.start("child_serves", &config).unwrap();
    assert_ne!(again.pid, killed.pid);
    kill(again.pid);
    until("stale", || {
        status_of(&lab.home, &config).unwrap().is_some_and(|found| found.state == State::Stale)
    });
    assert!(matches!(stop(&lab.home, &config, STOP_TIMEOUT), Err(DaemonError::NotRunning { .. })));
    assert!(!lab.pid_path().exists(), "the stale file was not cleaned up");
}

#[test]
fn an_instance_of_the_same_name_from_another_folder_is_named_and_left_alone() {
    let lab = Lab::new();
    let config = lab.config("n.yaml");
    let started = lab.start("child_serves", &config).unwrap();
    let elsewhere = Path::new("/elsewhere/n.yaml");
    let message = lab.start("child_serves", elsewhere).unwrap_err().to_string();
    assert_eq!(
        message,
        format!(
            "an instance named n.yaml is already running from {} (pid {}, {}); stop that one, or rename the file",
            config.display(),
            started.pid,
            started.address
        )
    );
    assert!(matches!(stop(&lab.home, elsewhere, STOP_TIMEOUT), Err(DaemonError::OtherFolder { .. })));
    TcpStream::connect(started.address).unwrap();
}

#[test]
fn a_daemon_that_ends_shows_the_last_lines_of_its_own_log() {
    let lab = Lab::new();
    let config = lab.config("n.yaml");
    for _ in 0..2 {
        let error = lab.start("child_fails", &config).unwrap_err();
        let DaemonError::Died { status, lines, .. } = &error else { panic!("{error}") };
        assert_eq!(status.code(), Some(7));
        let expected: Vec<String> = (11..=30).map(|number| format!("reason {number}")).collect();
        assert_eq!(lines, &expected);
        let message = error.to_string();
        assert!(
            message.starts_with("n.yaml did not start (exit status: 7); the last lines of /"),
            "{message}"
        );
        assert!(message.ends_with("\n  reason 30"), "{message}");
    }
}

#[test]
fn a_daemon_that_does_not_answer_is_left_running_and_can_be_stopped() {
    let lab = Lab::new();
    let config = lab.config("n.yaml");
    let args = lab.args("child_never_announces", &config);
    let error = start(&lab.home, &config, &program(), &args, Duration::from_millis(50)).unwrap_err();
    let DaemonError::NotAnswering { pid, .. } = error else { panic!("{error}") };
    let starting = || {
        status_of(&lab.home, &config)
            .unwrap()
            .is_some_and(|found| found.state == State::Starting && found.pid == Some(pid))
    };
    until("starting", starting);
    assert_eq!(stop(&lab.home, &config, STOP_TIMEOUT).unwrap().pid, pid);
}

#[test]
fn a_program_that_cannot_run_is_an_error() {
    let lab = Lab::new();
    let error =
        start(&lab.home, &lab.config("n.yaml"), Path::new("/no/such/kvs"), &[], START_TIMEOUT).unwrap_err();
    assert!(matches!(error, DaemonError::Spawn { .. }), "{error}");
}

#[test]
fn an_instance_that_drains_for_long_is_not_killed() {
    let lab = Lab::new();
    let config = lab.config("n.yaml");
    let started = lab.start_stubborn(&config);
    let error = stop(&lab.home, &config, Duration::from_millis(100)).unwrap_err();
    assert!(matches!(error, DaemonError::StillDraining { pid, .. } if pid == started.pid), "{error}");
    TcpStream::connect(started.address).unwrap();
    assert_eq!(status_of(&lab.home, &config).unwrap().unwrap().state, State::Running);
}

#[test]
fn a_process_that_got_the_number_of_a_dead_instance_is_never_signalled() {
    let lab = Lab::new();
    let config = lab.config("n.yaml");
    drop(PidFile::acquire(&lab.home, &config).unwrap());
    let mut bystander = Bystander::new();
    let record = |start: u64| {
        format!("kvs-pid 1\npid {}\nstart {start}\nsince 1\nconfig {}\n", bystander.0.id(), config.display())
    };

    // Nobody holds the lock, however well the text fits.
    std::fs::write(lab.pid_path(), record(bystander.start_ticks())).unwrap();
    assert!(matches!(stop(&lab.home, &config, STOP_TIMEOUT), Err(DaemonError::NotRunning { .. })));
    assert!(!lab.pid_path().exists());

    // Somebody holds it, and it is not that process.
    std::fs::write(lab.pid_path(), record(bystander.start_ticks() - 1)).unwrap();
    let file = File::open(lab.pid_path()).unwrap();
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    let error = stop(&lab.home, &config, STOP_TIMEOUT).unwrap_err();
    assert!(matches!(error, DaemonError::UnknownHolder { .. }), "{error}");
    assert!(lab.pid_path().exists());

    assert!(bystander.lives());
}

#[test]
fn garbage_in_the_pid_file_stops_nobody_from_starting() {
    let lab = Lab::new();
    let config = lab.config("n.yaml");
    drop(PidFile::acquire(&lab.home, &config).unwrap());
    std::fs::write(lab.pid_path(), b"\xff\x00pid 1\n").unwrap();
    let started = lab.start("child_serves", &config).unwrap();
    assert_eq!(status_of(&lab.home, &config).unwrap().unwrap().pid, Some(started.pid));
}

#[test]
fn garbage_in_a_locked_pid_file_is_a_clear_message() {
    let lab = Lab::new();
    let config = lab.config("n.yaml");
    drop(PidFile::acquire(&lab.home, &config).unwrap());
    std::fs::write(lab.pid_path(), "1\n").unwrap();
    let file = File::open(lab.pid_path()).unwrap();
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    let message = stop(&lab.home, &config, STOP_TIMEOUT).unwrap_err().to_string();
    assert!(
        message.ends_with("this PID file is held by a process that it does not name; nothing was signalled")
    );
    let [found] = <[_; 1]>::try_from(status(&lab.home).unwrap()).unwrap();
    assert_eq!((found.state, found.pid), (State::Unknown, None));
}

#[test]
fn links_in_the_place_of_the_folders_or_files_are_refused_and_never_followed() {
    for place in [".kvs", ".kvs/pids", ".kvs/logs"] {
        let lab = Lab::new();
        let target = lab.folder.path().join("target");
        std::fs::create_dir_all(&target).unwrap();
        let link = lab.folder.path().join(place);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&target, &link).unwrap();
        let message = lab.start("child_serves", &lab.config("n.yaml")).unwrap_err().to_string();
        assert!(message.ends_with("refused: expected a folder and no symbolic link"), "{message}");
        assert_eq!(target.read_dir().unwrap().count(), 0, "{place}");
    }
    for place in [".kvs/pids/n.yaml.pid", ".kvs/logs/kvs_n.yaml.log"] {
        let lab = Lab::new();
        drop(PidFile::acquire(&lab.home, &lab.config("n.yaml")).unwrap());
        let target = lab.folder.path().join("precious");
        std::fs::write(&target, "precious").unwrap();
        let link = lab.folder.path().join(place);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&target, &link).unwrap();
        let message = lab.start("child_serves", &lab.config("n.yaml")).unwrap_err().to_string();
        assert!(message.ends_with("refused: it is a symbolic link; remove it"), "{message}");
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious", "{place}");
        assert!(link.is_symlink());
    }
}
