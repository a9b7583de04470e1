//! What TLS costs reads on connections that stay open: certificates as `kvs tls init` makes them, everything as by default.
//!
//! The load generator's own TLS runs in its one thread on the cores that the node uses too, so the ratio of the rates holds
//! both halves of the work; the CPU of each half stands beside it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::bench::auth::caller::Caller;
use crate::bench::auth::nodes::{self, ALL_OFF};
use crate::bench::auth::options::AuthOptions;
use crate::bench::auth::turns::{self, BUSY, Contestant, Figure, KEYS, Scene, Turn, Verb};
use crate::bench::cluster::finding::{Findings, Goal, Unit};
use crate::bench::load::{self, Load, Stop};
use crate::bench::node;
use crate::bench::scratch::Scratch;
use crate::bench::transport::{TlsClient, Way};
use crate::bench::values::{DOCUMENT_BYTES, Documents};

const TIMES: Unit = Unit { name: "x", digits: 2 };

/// The files that a node and its clients need.
struct Certificates {
    chain: PathBuf,
    key: PathBuf,
    authority: PathBuf,
}

/// Measures both and adds the ratio.
///
/// # Errors
///
/// There are no certificates, a node does not start, or a request fails.
pub(crate) fn run(options: &AuthOptions, scratch: &Scratch, findings: &mut Findings) -> anyhow::Result<()> {
    let certificates = certificates(&scratch.folder("certificates")?)?;
    let client = TlsClient::trusting(&certificates.authority)?;
    let lines = format!(
        "{ALL_OFF}tls_cert: {}\ntls_key: {}\n",
        certificates.chain.display(),
        certificates.key.display()
    );
    let secret = nodes::start(scratch, "tls", &lines, Way::Tls(&client))?;
    let open = nodes::start(scratch, "tls-off", ALL_OFF, Way::Plain)?;
    let documents = Documents::new(KEYS);
    let contestant = |name, server, way| Contestant { name, server, caller: Caller::nobody(), way };
    let contestants =
        [contestant("TLS", &secret.server, Way::Tls(&client)), contestant("plain", &open.server, Way::Plain)];
    for Contestant { server, caller, way, .. } in &contestants {
        nodes::fill(server, caller, *way, &documents, KEYS)?;
        let load = nodes::load(server.address, BUSY, Stop::Count(KEYS));
        let load = Load { least_body_bytes: DOCUMENT_BYTES, ..load };
        load::run_over(*way, load, &mut |number, out| caller.get(number, out))?.verified()?;
    }
    let scene = Scene {
        verb: Verb::Get,
        connections: BUSY,
        rounds: options.rounds(),
        duration: options.duration(),
        documents: &documents,
    };
    let [secret_course, open_course] = turns::play(scene, &contestants)?;
    report(&secret_course, &open_course, findings)?;
    let agreed = client.agreed(secret.server.address)?;
    findings.remark(format!(
        "TLS was {agreed}; connections were made once and kept. The client's own TLS work runs on the same cores as the node's."
    ));
    Ok(())
}

fn report(secret: &[Turn], open: &[Turn], findings: &mut Findings) -> anyhow::Result<()> {
    let rate = turns::ratio(secret, open, |turn| turn.rate)?;
    let name = "`GET`/s over TLS on kept connections against plain";
    findings.add_beside(name, rate, TIMES, Goal::AtLeast(0.7), turns::rates(secret, open)?);
    let halves: [(&str, Figure); 2] = [
        ("CPU of the node per `GET`, TLS against plain", |turn| turn.server_us),
        ("CPU of the client per `GET`, TLS against plain", |turn| turn.client_us),
    ];
    for (name, of) in halves {
        let each = |course| turns::middle(course, of);
        let beside = format!("{:.1} us against {:.1} us", each(secret)?, each(open)?);
        findings.add_beside(name, turns::ratio(secret, open, of)?, TIMES, Goal::Shown, beside);
    }
    let share =
        |course| turns::middle(course, |turn| 100.0 * turn.client_us / (turn.client_us + turn.server_us));
    let name = "the client's share of all CPU over TLS";
    let beside = format!("plain {:.0} %", share(open)?);
    findings.add_beside(name, share(secret)?, Unit { name: "%", digits: 0 }, Goal::Shown, beside);
    Ok(())
}

/// Makes an authority and a certificate with the node's own command.
fn certificates(folder: &Path) -> anyhow::Result<Certificates> {
    let output = Command::new(node::binary()?)
        .args(["tls", "init", "--dir", "tls", "--node", "bench", "--json"])
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .context("kvs tls init could not be started")?;
    if !output.status.success() {
        bail!("kvs tls init failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let answer: Value = serde_json::from_slice(&output.stdout).context("kvs tls init printed no JSON")?;
    let path = |name: &str| {
        let path = answer.get("config").and_then(|config| config.get(name)).and_then(Value::as_str);
        path.map(PathBuf::from).with_context(|| format!("kvs tls init told no {name}"))
    };
    Ok(Certificates { chain: path("tls_cert")?, key: path("tls_key")?, authority: path("tls_client_ca")? })
}
