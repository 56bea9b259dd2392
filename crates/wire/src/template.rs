//! Templates of NetFlow v9 and IPFIX, turned into columns.
//!
//! A template says how the records of a set are laid out. It is read once and kept as a list of [`Column`]s: where in the record a
//! field that matters lies. Records of a set are then decoded column by column, so that the meaning of a field is looked up
//! once for a set and not once for a record.

use crate::field::{self, Field};

/// Length that says "the length comes with the value" (RFC 7011 section 7).
pub(crate) const VARIABLE: u16 = u16::MAX;

/// A field of a record that goes somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) field: Field,
    /// It belongs to the reverse direction of a biflow.
    pub(crate) reverse: bool,
    /// Where it starts in a record, for templates without variable lengths.
    pub(crate) offset: u16,
    /// Its length, or [`VARIABLE`].
    pub(crate) len: u16,
    /// Which field of the template it is.
    pub(crate) number: u16,
}

/// A template or an options template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) id: u16,
    /// Whether its records are options and no flows.
    pub(crate) options: bool,
    /// Length of a record; the shortest possible one where lengths vary. Never 0.
    pub(crate) min_len: usize,
    /// Lengths of all fields, kept only where one of them is [`VARIABLE`].
    pub(crate) lens: Vec<u16>,
    /// Columns of the forward record, in the order in which they are applied.
    pub(crate) core: Vec<Column>,
    /// Columns of the reverse direction (RFC 5103).
    pub(crate) reverse: Vec<Column>,
    /// Columns about sampling.
    pub(crate) sampling: Vec<Column>,
    /// Columns that only [`Exported`](crate::Exported) has, `InIf` first if it is there.
    pub(crate) extra: Vec<Column>,
    pub(crate) has_start: bool,
    pub(crate) has_end: bool,
    pub(crate) has_init: bool,
    pub(crate) has_packets: bool,
    pub(crate) has_icmp: bool,
    pub(crate) has_ports: bool,
    /// The definition as it came, from the template id on: equal definitions are equal templates, and it is what is saved.
    pub(crate) definition: Vec<u8>,
}

/// What reading a template found.
pub(crate) enum Read {
    /// A template, and how many bytes it took.
    Template(Template, usize),
    /// The exporter withdraws a template (RFC 7011 section 8.1): its id, and how many bytes that took.
    Withdrawal(u16, usize),
    /// The bytes are no template; nothing after them can be found.
    Malformed,
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

/// Reads one template of a set. `ipfix` tells the dialect, `options` the kind of set.
pub(crate) fn read(data: &[u8], ipfix: bool, options: bool) -> Read {
    read_parts(data, ipfix, options).unwrap_or(Read::Malformed)
}

fn read_parts(data: &[u8], ipfix: bool, options: bool) -> Option<Read> {
    let id = be16(data, 0)?;
    let mut at = 4;
    // How many fields there are, and how many of them are scopes. NetFlow v9 gives both in bytes (RFC 3954 section 6.1).
    let (count, scopes) = match (options, ipfix) {
        (false, _) => (be16(data, 2)?, 0),
        (true, true) => {
            let count = be16(data, 2)?;
            if count == 0 {
                return Some(Read::Withdrawal(id, 4));
            }
            at = 6;
            (count, be16(data, 4)?)
        }
        (true, false) => {
            let (scope, option) = (be16(data, 2)?, be16(data, 4)?);
            at = 6;
            (scope / 4 + option / 4, scope / 4)
        }
    };
    if count == 0 && ipfix {
        return Some(Read::Withdrawal(id, 4));
    }
    if count == 0 || scopes > count || id < 256 {
        return None;
    }
    let mut lens = Vec::new();
    let mut columns = Vec::new();
    let (mut min_len, mut offset, mut variable) = (0usize, 0usize, false);
    for number in 0..count {
        let (id, len) = (be16(data, at)?, be16(data, at + 2)?);
        at += 4;
        let is_scope = number < scopes;
        let (field, reverse) = if ipfix && id & 0x8000 != 0 {
            let enterprise = u32::from(be16(data, at)?) << 16 | u32::from(be16(data, at + 2)?);
            at += 4;
            field::of(enterprise, id & 0x7fff)
        } else if is_scope && !ipfix {
            // Scopes of v9 have their own numbers: 2 is an interface.
            (
                if id == 2 {
                    Field::ScopeInterface
                } else {
                    Field::Skip
                },
                false,
            )
        } else if is_scope && matches!(id, 10 | 14) {
            (Field::ScopeInterface, false)
        } else {
            field::of(0, id)
        };
        let is_variable = len == VARIABLE && ipfix;
        variable |= is_variable;
        if field != Field::Skip {
            columns.push(Column {
                field,
                reverse,
                offset: offset.min(usize::from(u16::MAX)) as u16,
                len,
                number,
            });
        }
        lens.push(if is_variable { VARIABLE } else { len });
        let least = if is_variable { 1 } else { usize::from(len) };
        min_len += least;
        offset += least;
    }
    // A record without length would never end, and one longer than any message never begins.
    if min_len == 0 || min_len > usize::from(u16::MAX) {
        return None;
    }
    columns.sort_by_key(|column| column.field);
    let of = |wanted: &dyn Fn(&Column) -> bool| columns.iter().copied().filter(wanted).collect::<Vec<_>>();
    let core = of(&|c| !c.reverse && !c.field.is_extra() && !c.field.is_sampling());
    let any = |wanted: &dyn Fn(Field) -> bool| core.iter().any(|c| wanted(c.field));
    let template = Template {
        id,
        options,
        min_len,
        lens: if variable { lens } else { Vec::new() },
        has_start: any(&Field::is_start),
        has_end: any(&Field::is_end),
        has_init: any(&|f| f == Field::InitMs),
        has_packets: any(&|f| matches!(f, Field::Packets | Field::PacketsTotal | Field::OutPackets)),
        has_icmp: any(&|f| matches!(f, Field::IcmpTypeCode | Field::IcmpType)),
        has_ports: any(&|f| matches!(f, Field::SrcPort | Field::DstPort)),
        reverse: if columns.iter().any(|c| c.reverse && c.field.is_count()) {
            of(&|c| c.reverse && !c.field.is_extra() && !c.field.is_sampling())
        } else {
            Vec::new()
        },
        sampling: of(&|c| c.field.is_sampling()),
        extra: of(&|c| !c.reverse && c.field.is_extra()),
        core,
        definition: data.get(..at)?.to_vec(),
    };
    Some(Read::Template(template, at))
}

impl Template {
    /// Whether the lengths of its records vary.
    pub(crate) fn is_variable(&self) -> bool {
        !self.lens.is_empty()
    }

    /// What it costs to keep, in fields.
    pub(crate) fn cost(&self) -> usize {
        self.definition.len() / 4 + 8
    }

    /// Finds the fields of one record whose lengths vary: fills `places` with (offset, length) of each field and returns the
    /// length of the record, or `None` where it does not fit into the data.
    pub(crate) fn places(&self, data: &[u8], places: &mut Vec<(u16, u16)>) -> Option<usize> {
        places.clear();
        let mut at = 0usize;
        for &len in &self.lens {
            let mut len = usize::from(len);
            if len == usize::from(VARIABLE) {
                len = usize::from(*data.get(at)?);
                at += 1;
                if len == 255 {
                    len = usize::from(be16(data, at)?);
                    at += 2;
                }
            }
            if at + len > data.len() {
                return None;
            }
            places.push((u16::try_from(at).ok()?, len as u16));
            at += len;
        }
        Some(at)
    }
}

/// Puts columns where the fields of one record lie.
pub(crate) fn placed(columns: &[Column], places: &[(u16, u16)], out: &mut Vec<Column>) {
    out.clear();
    out.extend(columns.iter().filter_map(|column| {
        let &(offset, len) = places.get(usize::from(column.number))?;
        Some(Column {
            offset,
            len,
            ..*column
        })
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    #[test]
    fn fields_get_their_places() {
        let Read::Template(template, used) = read(&words(&[300, 3, 8, 4, 999, 2, 12, 4, 7]), false, false)
        else {
            panic!()
        };
        assert_eq!((used, template.min_len, template.is_variable()), (16, 10, false));
        let places: Vec<_> = template.core.iter().map(|c| (c.field, c.offset, c.len)).collect();
        assert_eq!(places, [(Field::SrcV4, 0, 4), (Field::DstV4, 6, 4)]);
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for bad in [
            &words(&[300, 2, 8, 0, 12, 0])[..],
            &words(&[300, 0xffff, 8, 4]),
            &words(&[255, 1, 8, 4]),
            &words(&[300]),
            &[],
        ] {
            assert!(matches!(read(bad, false, false), Read::Malformed));
        }
        assert!(matches!(
            read(&words(&[300, 0]), true, false),
            Read::Withdrawal(300, 4)
        ));
    }

    #[test]
    fn variable_lengths_are_walked_and_bounded() {
        let Read::Template(template, _) = read(&words(&[300, 2, 82, VARIABLE, 8, 4]), true, false) else {
            panic!()
        };
        let mut places = Vec::new();
        assert_eq!(template.places(&[2, 9, 9, 1, 2, 3, 4, 5], &mut places), Some(7));
        assert_eq!(places, [(1, 2), (3, 4)]);
        assert_eq!(template.places(&[255, 0, 1, 9, 1, 2, 3, 4], &mut places), Some(8));
        assert_eq!(template.places(&[255, 255, 255, 9], &mut places), None);
        assert_eq!(template.places(&[4, 9], &mut places), None);
    }
}
