//! `kvs tls init`: certificates for the nodes of one cluster.

use std::path::{Path, absolute};

use anyhow::{Context as _, Result};
use kvs_certs::authority::{Authority, Origin};
use kvs_certs::host::Host;
use kvs_certs::node_certificate::{Earlier, NodeCertificate, Wanted, check_node_name};
use kvs_config::host::host_name;
use kvs_server::clock::SystemClock;
use kvs_store::clock::Clock as _;
use serde::Serialize;

use crate::exit::{Exit, UsageError};
use crate::printer::Printer;
use crate::tls_args::{TlsCommand, TlsInitArgs};

/// What was made, as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    node: &'a str,
    ca_key: &'a Path,
    ca_made: bool,
    hosts: Vec<String>,
    expires_at: u64,
    /// The keys of the configuration with their values.
    config: Lines<'a>,
}

/// What the configuration of the node is to say.
#[derive(Serialize)]
struct Lines<'a> {
    tls_cert: &'a Path,
    tls_key: &'a Path,
    tls_client_ca: &'a Path,
}

/// Does what is asked for.
pub(super) fn tls(command: &TlsCommand, printer: &Printer) -> Result<Exit> {
    match command {
        TlsCommand::Init(args) => init(args, printer),
    }
}

fn init(args: &TlsInitArgs, printer: &Printer) -> Result<Exit> {
    let machine = host_name();
    let node = args.node.as_deref().unwrap_or(&machine);
    let usage = |error: kvs_certs::error::CertsError| UsageError(error.to_string());
    // Before an authority is made for nothing.
    check_node_name(node).map_err(usage)?;
    let mut hosts: Vec<Host> =
        args.hosts.iter().map(|host| host.parse().map_err(usage)).collect::<Result<_, _>>()?;
    // A machine may be called what no certificate can say.
    hosts.extend(machine.parse());
    let folder = absolute(&args.dir).with_context(|| format!("cannot find {}", args.dir.display()))?;
    let now_ms = SystemClock::start().now_ms();
    let earlier = if args.force { Earlier::Replace } else { Earlier::Keep };
    let authority = Authority::open_or_make(&folder, now_ms)?;
    let wanted = Wanted { node, hosts, days: args.days, earlier };
    let made = NodeCertificate::make(&folder, &authority, &wanted, now_ms)?;
    let answer = Answer {
        node,
        ca_key: &authority.key_path,
        ca_made: authority.origin == Origin::Made,
        hosts: made.hosts.iter().map(ToString::to_string).collect(),
        expires_at: made.expires_at_ms,
        config: Lines {
            tls_cert: &made.certificate_path,
            tls_key: &made.key_path,
            tls_client_ca: &authority.certificate_path,
        },
    };
    if args.json {
        printer.json(&answer)?;
    } else {
        print(&answer, printer)?;
    }
    Ok(Exit::Done)
}

fn print(answer: &Answer<'_>, printer: &Printer) -> Result<()> {
    let Answer { node, ca_key, ca_made, hosts, expires_at, config } = answer;
    if *ca_made {
        printer.line(&format!("# a new authority; keep {} where no node is reached", ca_key.display()))?;
    }
    printer.line(&format!("# {node}: {}, until {}", hosts.join(", "), printer.time(*expires_at)))?;
    printer.line("# add to the configuration of the node:")?;
    for (key, path) in
        [("tls_cert", config.tls_cert), ("tls_key", config.tls_key), ("tls_client_ca", config.tls_client_ca)]
    {
        // A JSON text is a YAML text, whatever the path holds.
        printer.line(&format!("{key}: {}", serde_json::to_string(path)?))?;
    }
    Ok(())
}
