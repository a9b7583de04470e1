//! The PID file that a running instance holds.
//!
//! Invariants: as long as a [`PidFile`] exists, its lock is held, no other process can have one of the same name, and
//! `$HOME/.kvs/pids/NAME.pid` is this very file unless someone removed it by hand. When it is dropped, it removes that
//! file and no other.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use kvs_config::name::instance;
use rustix::fs::{FlockOperation, OFlags};

use crate::clock::{Deadline, unix_ms};
use crate::error::DaemonError;
use crate::folder::Folder;
use crate::home::{Home, pid_name};
use crate::limits::{LOCK_WAIT, PID_FILE_BYTES_MAX};
use crate::probe::{lock, read, taken};
use crate::process::Process;
use crate::record::{Announcement, Record};

/// Room that is left for the announcement: an address, and a name of 255 bytes of which each may take three.
const ANNOUNCEMENT_BYTES_MAX: usize = 900;

/// The PID file of this process, locked. Keep it for the whole life of the instance.
#[derive(Debug)]
pub struct PidFile {
    folder: Folder,
    file: File,
    record: Record,
    /// Its file name.
    name: String,
}

impl PidFile {
    /// Becomes the instance of the configuration at `config`, an absolute path as
    /// [`Config::source`](kvs_config::config::Config::source) has it. A PID file that a dead process left is taken over.
    ///
    /// # Errors
    /// [`DaemonError::AlreadyRunning`] or [`DaemonError::OtherFolder`] when one of this name runs; another
    /// [`DaemonError`] when the folder or file cannot be used. This process is no instance then.
    pub fn acquire(home: &Home, config: &Path) -> Result<Self, DaemonError> {
        let instance = instance(config)?;
        let record = Record {
            process: Process::current()?,
            since_ms: unix_ms(),
            config: config.to_owned(),
            announcement: None,
        };
        if record.encode().len() + ANNOUNCEMENT_BYTES_MAX > PID_FILE_BYTES_MAX {
            return Err(DaemonError::TooLong { config: config.to_owned() });
        }
        let folder = home.made_pids()?;
        let name = pid_name(&instance);
        let file = locked(&folder, &name, &instance, config)?;
        // From here on, dropping it removes the file.
        let pid_file = Self { folder, file, record, name };
        let failed = |error| DaemonError::io("write", &pid_file.folder.path_of(&pid_file.name), error);
        pid_file.file.set_len(0).map_err(failed)?;
        (&pid_file.file).write_all(pid_file.record.encode().as_bytes()).map_err(failed)?;
        Ok(pid_file)
    }

    /// Tells that this instance now listens: where, and its `node_id`. The first announcement counts.
    ///
    /// # Errors
    /// [`DaemonError::Io`] when it cannot be written; the lock is still held.
    pub fn announce(&mut self, address: SocketAddr, node_id: &str) -> Result<(), DaemonError> {
        if self.record.announcement.is_some() {
            return Ok(());
        }
        let announcement = Announcement { address, node_id: node_id.to_owned() };
        let text = announcement.encode();
        if text.len() > ANNOUNCEMENT_BYTES_MAX {
            return Err(DaemonError::TooLong { config: self.record.config.clone() });
        }
        // One write after the record: a reader sees it with these lines or without them.
        (&self.file)
            .write_all(text.as_bytes())
            .map_err(|error| DaemonError::io("write", &self.folder.path_of(&self.name), error))?;
        self.record.announcement = Some(announcement);
        Ok(())
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A file that stays is recognised as stale by its free lock, so a failure here does no harm.
        if self.folder.leads_to(&self.name, &self.file).unwrap_or(false) {
            self.folder.remove(&self.name).unwrap_or_default();
        }
    }
}

/// The PID file, made when there is none, with its lock in hand.
fn locked(folder: &Folder, name: &str, instance: &str, config: &Path) -> Result<File, DaemonError> {
    let path = folder.path_of(name);
    let deadline = Deadline::after(LOCK_WAIT);
    loop {
        let file = folder.file(name, OFlags::RDWR | OFlags::CREATE)?;
        if let Some(file) = file {
            if !lock(&file, FlockOperation::NonBlockingLockExclusive, &path)? {
                if let Some(record) = read(&file, &path)?.filter(|record| record.process.runs()) {
                    return Err(taken(instance, config, record));
                }
            } else if folder.leads_to(name, &file)? {
                return Ok(file);
            }
        }
        // Someone is looking, starting or ending at this very moment.
        if !deadline.pause() {
            return Err(DaemonError::UnknownHolder { path });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::folder::Absent;
    use crate::probe::{Probe, look, remove_stale};

    const NODE: &str = "/etc/kvs/node1.yaml";

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_owned());
        (folder, home)
    }

    fn probe(home: &Home) -> Probe {
        look(&home.pids(Absent::Leave).unwrap().unwrap(), "node1.yaml").unwrap()
    }

    #[test]
    fn a_held_file_names_its_process_and_what_it_announced() {
        let (_folder, home) = home();
        let mut pid_file = PidFile::acquire(&home, Path::new(NODE)).unwrap();
        let Probe::Held(record) = probe(&home) else { panic!("not held") };
        assert_eq!(record, pid_file.record);
        assert_eq!((record.process, record.announcement), (Process::current().unwrap(), None));
        pid_file.announce("127.0.0.1:7".parse().unwrap(), "nöde\n1").unwrap();
        pid_file.announce("127.0.0.1:8".parse().unwrap(), "later").unwrap();
        let Probe::Held(record) = probe(&home) else { panic!("not held") };
        let announcement = record.announcement.unwrap();
        assert_eq!(announcement.address, "127.0.0.1:7".parse().unwrap());
        assert_eq!(announcement.node_id, "nöde\n1");
    }

    #[test]
    fn only_one_can_hold_it_and_the_other_learns_who_does() {
        let (_folder, home) = home();
        let mut first = PidFile::acquire(&home, Path::new(NODE)).unwrap();
        let own = std::process::id();
        let second = PidFile::acquire(&home, Path::new(NODE));
        assert!(matches!(second, Err(DaemonError::AlreadyRunning { pid, address: None, .. }) if pid == own));
        first.announce("127.0.0.1:7".parse().unwrap(), "n").unwrap();
        let elsewhere = PidFile::acquire(&home, Path::new("/srv/node1.yaml")).unwrap_err();
        assert_eq!(
            elsewhere.to_string(),
            format!(
                "an instance named node1.yaml is already running from /etc/kvs/node1.yaml (pid {own}, 127.0.0.1:7); \
                 stop that one, or rename the file"
            )
        );
        assert!(PidFile::acquire(&home, Path::new("/etc/kvs/node2.yaml")).is_ok());
    }

    #[test]
    fn dropping_it_removes_its_own_file_and_frees_the_name() {
        let (_folder, home) = home();
        drop(PidFile::acquire(&home, Path::new(NODE)).unwrap());
        assert!(!home.pid_path("node1.yaml").exists());
        PidFile::acquire(&home, Path::new("/srv/node1.yaml")).unwrap();
    }

    #[test]
    fn dropping_it_leaves_a_file_of_someone_else() {
        let (_folder, home) = home();
        let pid_file = PidFile::acquire(&home, Path::new(NODE)).unwrap();
        let path = home.pid_path("node1.yaml");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "not mine").unwrap();
        drop(pid_file);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "not mine");
    }

    #[test]
    fn whatever_a_dead_process_left_is_taken_over() {
        let (_folder, home) = home();
        drop(PidFile::acquire(&home, Path::new(NODE)).unwrap());
        let path = home.pid_path("node1.yaml");
        let long = "x".repeat(10_000);
        for left in [
            "",
            "4711\n",
            "kvs-pid 1\npid 1\nstart 1\nsince 1\nconfig /srv/node1.yaml\n",
            "\u{0}\u{fffd}",
            &long,
        ] {
            std::fs::write(&path, left).unwrap();
            assert!(matches!(probe(&home), Probe::Stale(_)), "{left:?}");
            let pid_file = PidFile::acquire(&home, Path::new(NODE)).unwrap();
            assert!(matches!(probe(&home), Probe::Held(record) if record == pid_file.record), "{left:?}");
        }
    }

    #[test]
    fn a_link_in_place_of_the_file_is_refused_and_its_target_untouched() {
        let (folder, home) = home();
        drop(PidFile::acquire(&home, Path::new(NODE)).unwrap());
        let target = folder.path().join("precious");
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, home.pid_path("node1.yaml")).unwrap();
        let refused = PidFile::acquire(&home, Path::new(NODE)).unwrap_err().to_string();
        assert!(refused.ends_with("node1.yaml.pid: refused: it is a symbolic link; remove it"), "{refused}");
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    }

    #[test]
    fn removing_a_stale_file_spares_a_running_instance() {
        let (_folder, home) = home();
        let pids = home.made_pids().unwrap();
        remove_stale(&pids, "node1.yaml").unwrap();
        let pid_file = PidFile::acquire(&home, Path::new(NODE)).unwrap();
        remove_stale(&pids, "node1.yaml").unwrap();
        assert!(matches!(probe(&home), Probe::Held(_)));
        drop(pid_file);
        std::fs::write(home.pid_path("node1.yaml"), "left").unwrap();
        remove_stale(&pids, "node1.yaml").unwrap();
        assert!(matches!(probe(&home), Probe::Absent));
    }

    #[test]
    fn a_path_too_long_for_the_file_is_refused() {
        let (_folder, home) = home();
        let config = PathBuf::from(format!("{}/node1.yaml", "/x".repeat(1700)));
        assert!(matches!(PidFile::acquire(&home, &config), Err(DaemonError::TooLong { .. })));
        assert!(!home.pid_path("node1.yaml").exists());
    }

    #[test]
    fn of_many_at_once_exactly_one_holds_it_at_any_time() {
        let (_folder, home) = home();
        let holders = std::sync::atomic::AtomicUsize::new(0);
        let wins = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        // Looking must not keep anyone from getting it.
                        drop(home.pids(Absent::Make).map(|pids| look(&pids.unwrap(), "node1.yaml").unwrap()));
                        match PidFile::acquire(&home, Path::new(NODE)) {
                            Ok(_pid_file) => {
                                let before = holders.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                                assert_eq!(before, 0);
                                wins.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                                holders.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                            }
                            Err(DaemonError::AlreadyRunning { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        assert!(wins.into_inner() >= 1);
    }
}
