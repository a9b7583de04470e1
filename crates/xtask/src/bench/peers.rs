//! How the peers are started: their configuration as their documentation recommends it, loopback only, data in the
//! folder of the run.
//!
//! Redis and etcd sync every write before they answer it, like a node does by default. What a peer does by default
//! beside that (rewriting its log, for one) is left on, as it is for the node.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context as _;

use crate::bench::dialect::Dialect;
use crate::bench::figures::Target;
use crate::bench::server::{Recipe, free_ports};
use crate::bench::values;
use crate::workspace::locate;

/// The name of the peer's program, and the Debian package that brings it.
pub(crate) fn program(target: Target) -> Option<(&'static str, &'static str)> {
    match target {
        Target::Redis => Some(("redis-server", "redis-server")),
        Target::Webdis => Some(("webdis", "webdis")),
        Target::Etcd => Some(("etcd", "etcd-server")),
        Target::Nginx => Some(("nginx", "nginx")),
        Target::Node | Target::Hyper => None,
    }
}

fn installed(target: Target) -> anyhow::Result<PathBuf> {
    let (name, package) = program(target).context("this target is no peer")?;
    locate(name).with_context(|| format!("not installed (Debian package {package})"))
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes()
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<String> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("{} could not be written", path.display()))?;
    Ok(path.to_string_lossy().into_owned())
}

/// Redis with its append-only file synced before every answer, and no snapshots.
///
/// # Errors
///
/// It is not installed, or its configuration could not be written.
pub(crate) fn redis(folder: &Path) -> anyhow::Result<Recipe> {
    let program = installed(Target::Redis)?;
    let [port] = free_ports()?;
    let text = format!(
        "bind 127.0.0.1\nport {port}\ndir {}\nappendonly yes\nappendfsync always\nsave \"\"\ndaemonize no\n",
        folder.display()
    );
    let arguments = vec![write(folder, "redis.conf", &text)?];
    let probe = b"*1\r\n$4\r\nPING\r\n".to_vec();
    Ok(Recipe { target: Target::Redis, dialect: Dialect::Redis, program, arguments, port, probe })
}

/// Webdis in front of the Redis at `redis_port`, a thread per core.
///
/// # Errors
///
/// It is not installed, or its configuration could not be written.
pub(crate) fn webdis(folder: &Path, redis_port: u16) -> anyhow::Result<Recipe> {
    let program = installed(Target::Webdis)?;
    let [port] = free_ports()?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let text = serde_json::json!({
        "redis_host": "127.0.0.1",
        "redis_port": redis_port,
        "redis_auth": null,
        "http_host": "127.0.0.1",
        "http_port": port,
        "threads": threads,
        "daemonize": false,
        "database": 0,
        "verbosity": 0,
        "logfile": folder.join("webdis.log"),
    });
    let arguments = vec![write(folder, "webdis.json", &text.to_string())?];
    let probe = get("/PING");
    Ok(Recipe { target: Target::Webdis, dialect: Dialect::Webdis, program, arguments, port, probe })
}

/// A single etcd member; it syncs every write before its answer.
///
/// # Errors
///
/// It is not installed.
pub(crate) fn etcd(folder: &Path) -> anyhow::Result<Recipe> {
    let program = installed(Target::Etcd)?;
    let [port, peer_port] = free_ports()?;
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let arguments = [
        ("--name", "bench".to_owned()),
        ("--data-dir", folder.join("data").to_string_lossy().into_owned()),
        ("--listen-client-urls", client.clone()),
        ("--advertise-client-urls", client),
        ("--listen-peer-urls", peer.clone()),
        ("--initial-advertise-peer-urls", peer.clone()),
        ("--initial-cluster", format!("bench={peer}")),
        // It keeps every revision, and the default of 2 GiB would end a long run.
        ("--quota-backend-bytes", (8_u64 << 30).to_string()),
        ("--log-level", "error".to_owned()),
        ("--logger", "zap".to_owned()),
    ];
    let arguments = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
    let probe = get("/health");
    Ok(Recipe { target: Target::Etcd, dialect: Dialect::Etcd, program, arguments, port, probe })
}

/// nginx that returns one value from its configuration, a worker per core: the kernel's limit for an HTTP answer.
///
/// # Errors
///
/// It is not installed, or its configuration could not be written.
pub(crate) fn nginx(folder: &Path) -> anyhow::Result<Recipe> {
    let program = installed(Target::Nginx)?;
    let [port] = free_ports()?;
    let mut document = Vec::new();
    values::write_document(0, &mut document);
    let document = String::from_utf8(document).context("a value is not text")?;
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .concat();
    let text = format!(
        "daemon off;\n{user}\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log error;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n{paths}access_log off;\ntcp_nodelay on;\nkeepalive_requests 1000000000;\nkeepalive_timeout 3600s;\n\
         server {{\nlisten 127.0.0.1:{port};\ndefault_type application/json;\n\
         location / {{ return 200 '{document}'; }}\n}}\n}}\n",
        folder = folder.display()
    );
    let configuration = write(folder, "nginx.conf", &text)?;
    let folder = folder.to_string_lossy().into_owned();
    let arguments = vec!["-p".to_owned(), folder, "-c".to_owned(), configuration];
    Ok(Recipe { target: Target::Nginx, dialect: Dialect::Fixed, program, arguments, port, probe: get("/") })
}

/// The bare hyper server: this program under another name.
///
/// # Errors
///
/// This program's own path is not known, or no port is free.
pub(crate) fn hyper() -> anyhow::Result<Recipe> {
    let program = std::env::current_exe()?;
    let [port] = free_ports()?;
    let arguments = vec!["bare-hyper".to_owned(), "--port".to_owned(), port.to_string()];
    Ok(Recipe { target: Target::Hyper, dialect: Dialect::Fixed, program, arguments, port, probe: get("/") })
}
