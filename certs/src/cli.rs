//! The command line: parses it, runs one command, words the report.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use sss_common::{MachineName, Timestamp, Uid};

use crate::issue::{EnrollRequest, Report, ServerRequest};
use crate::revoke::Target;
use crate::{Ca, Days, Error, Host, show};

/// The certificate authority of 3S: who may connect, and to whom.
#[derive(Debug, Parser)]
#[command(
    name = "3s-ca",
    version,
    after_help = "\
Examples:
  3s-ca init ~/ca
  3s-ca issue-server ~/ca --host store.example.org --host 192.0.2.7 -o tls
  3s-ca enroll ~/ca --uid alice --node client1 -o alice-client1
  3s-ca revoke ~/ca alice-client1/client.crt"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a root certificate, its key and an empty revocation list
    #[command(after_help = "\
Examples:
  3s-ca init ~/ca
  3s-ca init ~/ca --days 7300

Whoever can read CA_DIR/ca.key can let anyone in: keep the folder off the server, and back it up.")]
    Init {
        /// The folder to make
        ca_dir: PathBuf,
        /// How long the root is good for
        #[arg(long, default_value_t = Days::ROOT)]
        days: Days,
    },

    /// Make a server's key and certificate, with ca.crt and ca.crl beside them
    #[command(after_help = "\
Examples:
  3s-ca issue-server ~/ca --host store.example.org --host 192.0.2.7 -o tls
  3s-ca issue-server ~/ca --host store.example.org -o tls --renew")]
    IssueServer {
        /// The certificate authority's folder
        ca_dir: PathBuf,
        /// A name or address by which clients reach the server; may be given several times
        #[arg(long = "host", value_name = "NAME_OR_IP", required = true)]
        hosts: Vec<Host>,
        /// Where to write server.crt, server.key, ca.crt and ca.crl
        #[arg(short, long = "out", value_name = "TLS_DIR")]
        out: PathBuf,
        /// How long the certificate is good for; never beyond the root's own end
        #[arg(long, default_value_t = Days::SERVER)]
        days: Days,
        /// Replace the key and certificate that stand there
        #[arg(long)]
        renew: bool,
    },

    /// Make a user's key pair and the certificate of the machine they use; or renew the certificate
    #[command(after_help = "\
Examples:
  3s-ca enroll ~/ca --uid alice --node client1 -o alice-client1
  3s-ca enroll ~/ca --uid bob --node client1 -o bob-client1 --shared --days 90

Keys that stand in ID_DIR are kept: running it again renews the certificate only.")]
    Enroll {
        /// The certificate authority's folder
        ca_dir: PathBuf,
        /// The user
        #[arg(long)]
        uid: Uid,
        /// The machine: its name is refused when it is another user's already, unless --shared says that both use it
        #[arg(long)]
        node: MachineName,
        /// Where to write ca.crt, ca.crl, client.crt, client.key, user.key and user.pub
        #[arg(short, long = "out", value_name = "ID_DIR")]
        out: PathBuf,
        /// How long the certificate is good for; never beyond the root's own end
        #[arg(long, default_value_t = Days::NODE)]
        days: Days,
        /// The machine is used by several users, who have its name together
        #[arg(long)]
        shared: bool,
    },

    /// Take a certificate back: put it on the revocation list
    #[command(after_help = "\
Examples:
  3s-ca revoke ~/ca alice-client1/client.crt
  3s-ca revoke ~/ca 5B:01:9C:F2

The serials of all certificates stand in CA_DIR/index.tsv. Revoking one again signs the list anew.")]
    Revoke {
        /// The certificate authority's folder
        ca_dir: PathBuf,
        /// The certificate's file, or its serial in hexadecimal
        cert_or_serial: String,
    },

    /// Say what a certificate, revocation list or key file holds; never what is secret in it
    #[command(after_help = "\
Examples:
  3s-ca show tls/server.crt
  3s-ca show ~/ca/ca.crl
  3s-ca show alice-client1/user.key")]
    Show {
        /// A PEM file
        file: PathBuf,
    },
}

impl Cli {
    /// Runs the command; what it returns is for standard output.
    pub fn run(self, now: Timestamp) -> Result<String, Error> {
        match self.command {
            Command::Init { ca_dir, days } => init(&ca_dir, days, now),
            Command::IssueServer { ca_dir, hosts, out, days, renew } => {
                issue_server(&ca_dir, &ServerRequest { hosts, days, renew }, &out, now)
            }
            Command::Enroll { ca_dir, uid, node, out, days, shared } => {
                enroll(&ca_dir, &EnrollRequest { uid, machine: node, days, shared }, &out, now)
            }
            Command::Revoke { ca_dir, cert_or_serial } => revoke(&ca_dir, &cert_or_serial, now),
            Command::Show { file } => show::show(&file, now),
        }
    }
}

fn init(dir: &Path, days: Days, now: Timestamp) -> Result<String, Error> {
    let ca = Ca::init(dir, days, now)?;
    Ok(format!(
        "made {} in {}, good until {}\n  keep ca.key off the server, and back the folder up\n",
        ca.cert().subject,
        dir.display(),
        ca.cert().not_after,
    ))
}

fn issue_server(dir: &Path, request: &ServerRequest, out: &Path, now: Timestamp) -> Result<String, Error> {
    let report = Ca::open(dir)?.issue_server(request, out, now)?;
    let hosts: Vec<String> = request.hosts.iter().map(Host::to_string).collect();
    let mut text =
        format!("wrote a server's key and certificate for {} to {}\n", hosts.join(", "), out.display());
    describe(&mut text, &report);
    text.push_str(match report.before {
        Some(_) => "  send the server SIGHUP and it uses them\n",
        None => "  start the server with: 3s-server run DATA_DIR --tls TLS_DIR --listen ADDR:PORT\n",
    });
    Ok(text)
}

fn enroll(dir: &Path, request: &EnrollRequest, out: &Path, now: Timestamp) -> Result<String, Error> {
    let report = Ca::open(dir)?.enroll(request, out, now)?;
    let EnrollRequest { uid, machine: node, .. } = request;
    let mut text = format!("wrote {uid}'s identity on {node} to {}\n", out.display());
    describe(&mut text, &report);
    if !report.shared_with.is_empty() {
        let _ =
            writeln!(text, "  {node} is the name of {}'s machine too", report.shared_with.join("'s and "));
    }
    if report.kept_user_key {
        text.push_str("  kept the user.key that was there; only the certificate is new\n");
    } else {
        let public = out.join(crate::ca::names::USER_PUB);
        let _ = writeln!(
            text,
            "  make {uid} known to the server with: 3s-server user add DATA_DIR {uid} {}",
            public.display()
        );
    }
    Ok(text)
}

fn describe(text: &mut String, report: &Report) {
    let _ = writeln!(text, "  serial {}, good until {}", report.serial, report.until);
    if let Some(before) = &report.before {
        let _ = writeln!(
            text,
            "  the certificate before it, {before}, stays good until it ends; take it back with: 3s-ca revoke CA_DIR {before}"
        );
    }
}

fn revoke(dir: &Path, target: &str, now: Timestamp) -> Result<String, Error> {
    let revoked = Ca::open(dir)?.revoke(&Target::find(target)?, now)?;
    let what = format!("{} ({})", revoked.serial, revoked.subject);
    let mut text = match revoked.before {
        Some(at) => format!("{what} has been revoked since {at}; signed the list anew"),
        None => format!("revoked {what}"),
    };
    let _ = writeln!(text, "; ca.crl is number {}", revoked.crl_number);
    let list = dir.join(crate::ca::names::CA_CRL);
    let _ = writeln!(text, "  copy {} to the server's TLS_DIR and send it SIGHUP", list.display());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        let root = Cli::command();
        for command in std::iter::once(&root).chain(root.get_subcommands()) {
            let help = command.clone().render_help().to_string();
            let example = format!(
                "Examples:\n  3s-ca {}",
                if command.get_name() == "3s-ca" { "" } else { command.get_name() }
            );
            assert!(help.contains(&example), "{help}");
        }
    }
}
