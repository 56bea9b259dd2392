//! `epicenter decode`: the records of an input, for people who want only the decoder.
//!
//! One table of fields serves all forms. JSON lines name what is known of each record; CSV and columns have the same fields for every
//! record, empty or null where one is not known, and every field has one type throughout, so that a column can be stored as
//! it is.

use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::process::ExitCode;

use anyhow::{Context, bail};
use wire::{Batch, Exported, Flow, Fragment};

use crate::args::{DecodeArgs, DecodeFormat};
use crate::{input, tell};

/// Records of one group of columns.
const GROUP: usize = 65_536;

/// A value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    /// Not known, or not said.
    None,
    Number(u64),
    Address(Ipv6Addr),
    /// Nanoseconds since the Unix epoch.
    Time(u64),
    Mac([u8; 6]),
    Text(&'static str),
    Bool(bool),
}

/// A field: its name, the IANA element that it holds (0 for none), and how it is read.
struct Field {
    name: &'static str,
    element: u16,
    /// Among the fields that CSV and columns have when none are named.
    usual: bool,
    get: fn(&Flow, &Exported) -> Value,
}

const fn field(name: &'static str, element: u16, usual: bool, get: fn(&Flow, &Exported) -> Value) -> Field {
    Field {
        name,
        element,
        usual,
        get,
    }
}

fn some(number: impl Into<u64>) -> Value {
    Value::Number(number.into())
}

fn nonzero(number: impl Into<u64>) -> Value {
    match number.into() {
        0 => Value::None,
        number => Value::Number(number),
    }
}

fn given(address: Ipv6Addr) -> Value {
    if address.is_unspecified() {
        Value::None
    } else {
        Value::Address(address)
    }
}

fn known(flow: &Flow, bit: u8, number: impl Into<u64>) -> Value {
    if flow.has & bit == 0 {
        Value::None
    } else {
        some(number)
    }
}

fn port(flow: &Flow, port: u16) -> Value {
    match flow.protocol {
        1 | 58 => nonzero(port),
        _ => known(flow, Flow::HAS_TRANSPORT, port),
    }
}

fn icmp(flow: &Flow, number: u8) -> Value {
    match flow.protocol {
        1 | 58 => known(flow, Flow::HAS_TRANSPORT, number),
        _ => Value::None,
    }
}

fn mac(mac: [u8; 6]) -> Value {
    if mac == [0; 6] {
        Value::None
    } else {
        Value::Mac(mac)
    }
}

/// All fields, in the order of output.
const FIELDS: &[Field] = &[
    field("exporter", 0, true, |_, e| given(e.exporter)),
    field("format", 0, true, |_, e| {
        Value::Text(e.format.map_or("packet", |format| format.name()))
    }),
    field("domain", 149, true, |_, e| {
        e.format.map_or(Value::None, |_| some(e.domain))
    }),
    field("template", 145, false, |_, e| nonzero(e.template)),
    field("first", 156, true, |f, _| Value::Time(f.first_ns)),
    field("last", 157, true, |f, _| Value::Time(f.last_ns)),
    field("src", 8, true, |f, _| given(f.src)),
    field("dst", 12, true, |f, _| given(f.dst)),
    field("src_port", 7, true, |f, _| port(f, f.src_port)),
    field("dst_port", 11, true, |f, _| port(f, f.dst_port)),
    field("protocol", 4, true, |f, _| some(f.protocol)),
    field("tcp_flags", 6, true, |f, _| {
        known(f, Flow::HAS_TCP_FLAGS, f.tcp_flags)
    }),
    field("icmp_type", 176, true, |f, _| icmp(f, f.icmp_type)),
    field("icmp_code", 177, true, |f, _| icmp(f, f.icmp_code)),
    field("packets", 2, true, |f, _| some(f.packets)),
    field("bytes", 1, true, |f, _| some(f.bytes)),
    field("sampling", 305, true, |f, _| some(f.sampling)),
    field("tos", 5, true, |f, _| some(f.tos)),
    field("ttl", 192, true, |f, _| known(f, Flow::HAS_TTL, f.ttl)),
    field("fragment", 197, false, |f, _| match f.fragment {
        Fragment::None => Value::None,
        Fragment::First => Value::Text("first"),
        Fragment::Later => Value::Text("later"),
    }),
    field("fragment_offset", 88, false, |f, _| nonzero(f.fragment_offset)),
    field("vlan", 58, true, |f, _| nonzero(f.vlan)),
    field("out_vlan", 59, false, |_, e| nonzero(e.out_vlan)),
    field("in_if", 10, true, |_, e| {
        e.format.map_or(Value::None, |_| some(e.in_if))
    }),
    field("out_if", 14, true, |_, e| {
        e.format.map_or(Value::None, |_| some(e.out_if))
    }),
    field("src_as", 16, true, |_, e| nonzero(e.src_as)),
    field("dst_as", 17, true, |_, e| nonzero(e.dst_as)),
    field("src_mask", 9, true, |_, e| nonzero(e.src_mask)),
    field("dst_mask", 13, true, |_, e| nonzero(e.dst_mask)),
    field("next_hop", 15, true, |_, e| given(e.next_hop)),
    field("bgp_next_hop", 18, false, |_, e| given(e.bgp_next_hop)),
    field("direction", 61, false, |_, e| match e.direction {
        0 => Value::Text("ingress"),
        1 => Value::Text("egress"),
        _ => Value::None,
    }),
    field("forwarding_status", 89, false, |_, e| {
        nonzero(e.forwarding_status)
    }),
    field("dropped", 0, false, |f, _| match f.has & Flow::DROPPED {
        0 => Value::None,
        _ => Value::Bool(true),
    }),
    field("end_reason", 136, false, |_, e| nonzero(e.end_reason)),
    field("reverse", 0, false, |_, e| {
        if e.reverse { Value::Bool(true) } else { Value::None }
    }),
    field("mpls_1", 70, false, |_, e| nonzero(e.mpls[0] >> 4)),
    field("mpls_2", 71, false, |_, e| nonzero(e.mpls[1] >> 4)),
    field("mpls_3", 72, false, |_, e| nonzero(e.mpls[2] >> 4)),
    field("in_vrf", 234, false, |_, e| nonzero(e.in_vrf)),
    field("out_vrf", 235, false, |_, e| nonzero(e.out_vrf)),
    field("src_mac", 56, false, |_, e| mac(e.src_mac)),
    field("dst_mac", 80, false, |_, e| mac(e.dst_mac)),
    field("nat_src", 225, false, |_, e| given(e.nat_src)),
    field("nat_dst", 226, false, |_, e| given(e.nat_dst)),
    field("nat_src_port", 227, false, |_, e| nonzero(e.nat_src_port)),
    field("nat_dst_port", 228, false, |_, e| nonzero(e.nat_dst_port)),
    field("sampler", 302, false, |_, e| nonzero(e.sampler)),
];

/// Runs the command.
pub(crate) fn run(args: &DecodeArgs) -> anyhow::Result<ExitCode> {
    if args.list_fields {
        let mut out = std::io::stdout().lock();
        writeln!(out, "name                element  usual")?;
        for field in FIELDS {
            let element = if field.element == 0 {
                "-".to_owned()
            } else {
                field.element.to_string()
            };
            writeln!(
                out,
                "{:<20}{element:<9}{}",
                field.name,
                if field.usual { "yes" } else { "-" }
            )?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let named = !args.fields.is_empty();
    let fields = chosen(&args.fields, args.format)?;
    let mut collector = args.exports.collector()?;
    let out: Box<dyn Write + Send> = match &args.output {
        Some(path) => Box::new(std::fs::File::create(path).with_context(|| format!("{}", path.display()))?),
        None => Box::new(std::io::stdout()),
    };
    let mut printer = Printer {
        out: BufWriter::with_capacity(1 << 18, out),
        form: args.format,
        fields,
        named,
        group: Vec::new(),
        line: Vec::new(),
        failed: None,
    };
    printer.begin()?;
    let (mut unread, mut read) = (0, 0);
    for path in &args.inputs {
        let how = input::How {
            threads: 1,
            keep_exported: true,
            progress: &|_| {},
        };
        match input::read(&input::Source::file(path), &how, &mut collector, |batch| {
            printer.batch(batch)
        }) {
            Ok(input) => {
                read += 1;
                for fault in &input.faults {
                    tell(&format!(
                        "{}: {}: {} (first at byte {})",
                        input.name, fault.reason, fault.count, fault.first_offset
                    ));
                }
            }
            Err(problem) => {
                unread += 1;
                tell(&problem);
            }
        }
        if let Some(error) = printer.failed.take() {
            return Err(error.into());
        }
    }
    let mut rest = Batch::default();
    collector.give_up(&mut rest);
    for fault in rest.faults.iter() {
        tell(&format!(
            "{}: {} sets of data, whose template never came",
            fault.reason.name(),
            fault.count
        ));
    }
    printer.end()?;
    Ok(if read == 0 || unread > 0 {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

/// The fields to print: those named, in their order; else the usual ones, or all for JSON.
fn chosen(names: &[String], form: DecodeFormat) -> anyhow::Result<Vec<&'static Field>> {
    if names.is_empty() {
        let all = form == DecodeFormat::Json;
        return Ok(FIELDS.iter().filter(|field| all || field.usual).collect());
    }
    names
        .iter()
        .map(|name| match FIELDS.iter().find(|field| field.name == name) {
            Some(field) => Ok(field),
            None => bail!("there is no field {name:?}; `epicenter decode --list-fields` shows them all"),
        })
        .collect()
}

/// Writes records in one of the forms.
struct Printer<W: Write> {
    out: W,
    form: DecodeFormat,
    fields: Vec<&'static Field>,
    /// The user named the fields: then JSON has them all, null where not known.
    named: bool,
    /// Columns of the group that is being filled.
    group: Vec<Vec<Value>>,
    line: Vec<u8>,
    failed: Option<std::io::Error>,
}

impl<W: Write> Printer<W> {
    fn begin(&mut self) -> std::io::Result<()> {
        self.group = vec![Vec::new(); self.fields.len()];
        if self.form == DecodeFormat::Csv {
            let names: Vec<_> = self.fields.iter().map(|field| field.name).collect();
            writeln!(self.out, "{}", names.join(","))?;
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch) {
        if self.failed.is_some() {
            return;
        }
        for (index, flow) in batch.flows.iter().enumerate() {
            if let Err(error) = self.record(flow, batch.exported(index)) {
                self.failed = Some(error);
                return;
            }
        }
    }

    fn record(&mut self, flow: &Flow, exported: &Exported) -> std::io::Result<()> {
        match self.form {
            DecodeFormat::Json => {
                self.line.clear();
                self.line.push(b'{');
                for field in &self.fields {
                    let value = (field.get)(flow, exported);
                    if value == Value::None && !self.named {
                        continue;
                    }
                    let comma = if self.line.len() > 1 { "," } else { "" };
                    write!(self.line, "{comma}\"{}\":", field.name)?;
                    value.json(&mut self.line)?;
                }
                self.line.extend(b"}\n");
                self.out.write_all(&self.line)
            }
            DecodeFormat::Csv => {
                self.line.clear();
                for (at, field) in self.fields.iter().enumerate() {
                    if at > 0 {
                        self.line.push(b',');
                    }
                    (field.get)(flow, exported).plain(&mut self.line)?;
                }
                self.line.push(b'\n');
                self.out.write_all(&self.line)
            }
            DecodeFormat::Columns => {
                for (column, field) in self.group.iter_mut().zip(&self.fields) {
                    column.push((field.get)(flow, exported));
                }
                if self.group.first().is_some_and(|column| column.len() >= GROUP) {
                    self.write_group()?;
                }
                Ok(())
            }
        }
    }

    fn write_group(&mut self) -> std::io::Result<()> {
        self.line.clear();
        self.line.push(b'{');
        for (at, (column, field)) in self.group.iter_mut().zip(&self.fields).enumerate() {
            write!(self.line, "{}\"{}\":[", if at > 0 { "," } else { "" }, field.name)?;
            for (at, value) in column.drain(..).enumerate() {
                if at > 0 {
                    self.line.push(b',');
                }
                value.json(&mut self.line)?;
            }
            self.line.push(b']');
        }
        self.line.extend(b"}\n");
        self.out.write_all(&self.line)
    }

    fn end(&mut self) -> std::io::Result<()> {
        if self.group.first().is_some_and(|column| !column.is_empty()) {
            self.write_group()?;
        }
        self.out.flush()
    }
}

impl Value {
    fn json(self, out: &mut Vec<u8>) -> std::io::Result<()> {
        match self {
            Value::None => out.write_all(b"null"),
            Value::Number(_) | Value::Bool(_) => self.plain(out),
            _ => {
                out.push(b'"');
                self.plain(out)?;
                out.push(b'"');
                Ok(())
            }
        }
    }

    fn plain(self, out: &mut Vec<u8>) -> std::io::Result<()> {
        match self {
            Value::None => Ok(()),
            Value::Number(number) => write!(out, "{number}"),
            Value::Bool(value) => write!(out, "{value}"),
            Value::Text(text) => out.write_all(text.as_bytes()),
            Value::Address(address) => write!(out, "{}", IpAddr::V6(address).to_canonical()),
            Value::Time(ns) => write!(out, "{}", crate::case_json::time(ns)),
            Value::Mac([a, b, c, d, e, f]) => write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_are_distinct() {
        let mut names: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FIELDS.len());
    }

    #[test]
    fn a_field_that_does_not_exist_is_told() {
        let error = chosen(&["srcip".to_owned()], DecodeFormat::Csv)
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("srcip") && error.contains("--list-fields"),
            "{error}"
        );
    }
}
