//! Time series as people have them: CSV with a time and one or more values in each row.

use std::io::Read;
use std::path::Path;

/// Bad rows that are named; the others are counted.
const NAMED: usize = 3;
/// Values of one file that are read, over all its columns: 40 years of minutes.
const VALUES_MAX: usize = 21_000_000;
/// Bytes of a line: a file without line ends is none of ours, and must not fill the memory.
const LINE_MAX: usize = 1 << 20;
/// Columns of a wide file.
const COLUMNS_MAX: usize = 10_000;

/// What this reads, for error messages.
const WANTED: &str = "wanted are rows of `timestamp,value` (or one column more for each further series)";

/// One row of a series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Seconds since the Unix epoch.
    pub(crate) time: f64,
    /// The time as it was written.
    pub(crate) stamp: std::sync::Arc<str>,
    /// Not a number where there is none.
    pub(crate) value: f64,
    /// Line of the file, from 1.
    pub(crate) line: u64,
}

/// A series, in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) rows: Vec<Row>,
    /// What was wrong, in sentences.
    pub(crate) faults: Vec<String>,
}

/// Reads all series of a file. `step_s` gives times to files that have none.
///
/// # Errors
///
/// What is wrong, with the line, where nothing can be used.
pub(crate) fn read(path: &Path, step_s: Option<f64>) -> Result<Vec<Series>, String> {
    let name = path.display().to_string();
    let source: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(|error| format!("{name}: cannot be opened: {error}"))?)
    };
    let source = unpacked(source).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    parse(source, &name, step_s).map_err(|problem| format!("{name}: {problem}"))
}

/// A source without its compression (gzip or zstd), if it has one.
pub(crate) fn unpacked(mut source: Box<dyn Read + Send>) -> std::io::Result<Box<dyn Read + Send>> {
    let mut head = Vec::new();
    source.by_ref().take(4).read_to_end(&mut head)?;
    let all = std::io::BufReader::new(std::io::Cursor::new(head.clone()).chain(source));
    Ok(match head.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(all)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::with_buffer(all)?),
        _ => Box::new(all),
    })
}

fn parse(source: impl Read, name: &str, step_s: Option<f64>) -> Result<Vec<Series>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(Lines { source, length: 0 });
    let mut series: Vec<Series> = Vec::new();
    let mut names: Option<Vec<String>> = None;
    let mut columns = 0;
    let (mut bad, mut good) = (Vec::new(), 0u64);
    let mut bad_rows = 0u64;
    let mut record = csv::ByteRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {}
            Err(error) if good == 0 => return Err(format!("line {line}: {error}")),
            Err(error) => {
                bad.push(format!("line {line}: {error}; what comes after it is not used"));
                break;
            }
        }
        let line = record.position().map_or(line, |position| position.line());
        let fields: Vec<&str> = record
            .iter()
            .map(|field| {
                std::str::from_utf8(field)
                    .unwrap_or("\u{fffd}")
                    .trim_start_matches('\u{feff}')
            })
            .collect();
        if fields.iter().all(|field| field.is_empty()) {
            continue;
        }
        match row(&fields, columns, good, step_s) {
            Ok((time, values)) => {
                if series.is_empty() {
                    columns = fields.len();
                    series = started(name, values.len(), names.take());
                }
                if (good as usize + 1) * series.len() > VALUES_MAX {
                    bad.push(format!(
                        "line {line}: more than {VALUES_MAX} values; the rest is not used"
                    ));
                    break;
                }
                good += 1;
                let stamp: std::sync::Arc<str> = fields[0].into();
                for (series, value) in series.iter_mut().zip(values) {
                    series.rows.push(Row {
                        time,
                        stamp: if columns > 1 {
                            std::sync::Arc::clone(&stamp)
                        } else {
                            format!("{time}").into()
                        },
                        value,
                        line,
                    });
                }
            }
            // The first row may be a header, if no field but the last ones of a damaged one is a number.
            Err(_)
                if good == 0
                    && bad_rows == 0
                    && names.is_none()
                    && fields.iter().all(|f| number(f).is_err()) =>
            {
                if fields.len() > COLUMNS_MAX {
                    return Err(format!(
                        "line {line}: {} columns; at most {COLUMNS_MAX} are read",
                        fields.len()
                    ));
                }
                names = Some(fields.iter().map(|&field| field.to_owned()).collect());
            }
            Err(problem) => {
                bad_rows += 1;
                if bad.len() < NAMED {
                    bad.push(format!("line {line}: {problem}"));
                }
                if good == 0 && bad_rows > 100 {
                    break;
                }
            }
        }
    }
    if good == 0 {
        let first = bad.first().cloned();
        return Err(match (first, names) {
            (Some(first), _) => format!("{first}; {WANTED}"),
            (None, Some(_)) => format!("there is a header and no row under it; {WANTED}"),
            (None, None) => format!("is empty; {WANTED}"),
        });
    }
    if bad_rows > bad.len() as u64 {
        bad.push(format!("{} more rows like these", bad_rows - bad.len() as u64));
    }
    if bad_rows > 0 {
        bad.push(format!("{bad_rows} of {} rows were left out", bad_rows + good));
    }
    for series in &mut series {
        series.faults.extend(bad.iter().cloned());
        series.in_order();
        if let Some(step_s) = step_s {
            series.numbered(step_s);
        }
    }
    Ok(series)
}

/// A source whose lines have an end.
struct Lines<R> {
    source: R,
    /// Bytes since the last end of a line.
    length: usize,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.length = match buffer[..read].iter().rposition(|&byte| byte == b'\n') {
            Some(end) => read - end - 1,
            None => self.length + read,
        };
        if self.length > LINE_MAX {
            return Err(std::io::Error::other(format!(
                "a line of more than {LINE_MAX} bytes"
            )));
        }
        Ok(read)
    }
}

/// Empty series with their names: those of a header, else that of the file.
fn started(name: &str, count: usize, header: Option<Vec<String>>) -> Vec<Series> {
    let of_column = |at: usize| {
        header
            .as_ref()
            .and_then(|names| names.get(at + 1))
            .filter(|name| !name.is_empty())
    };
    (0..count)
        .map(|at| Series {
            name: match of_column(at) {
                Some(column) if count > 1 => column.clone(),
                None if count > 1 => format!("column {}", at + 2),
                _ => name.to_owned(),
            },
            ..Series::default()
        })
        .collect()
}

/// Time and values of a row.
fn row(fields: &[&str], columns: usize, before: u64, step_s: Option<f64>) -> Result<(f64, Vec<f64>), String> {
    if columns > 0 && fields.len() != columns {
        return Err(format!(
            "{} columns, where the rows before have {columns}",
            fields.len()
        ));
    }
    if let [value] = fields {
        let Some(step_s) = step_s else {
            return Err(
                "only one column: no time (--step SECONDS gives rows their times, from 0 on)".to_owned(),
            );
        };
        return Ok((before as f64 * step_s, vec![number(value)?]));
    }
    let time = time(fields[0]).ok_or_else(|| {
        format!(
            "{:?} is no time (Unix time, or like 2025-03-10T09:45:00Z)",
            short(fields[0])
        )
    })?;
    let values: Result<Vec<f64>, String> = fields[1..].iter().map(|field| number(field)).collect();
    Ok((time, values?))
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A number; not a number for the ways in which people write that there is none.
fn number(text: &str) -> Result<f64, String> {
    if ["", "-", "na", "n/a", "nan", "null", "none"].contains(&text.to_ascii_lowercase().as_str()) {
        return Ok(f64::NAN);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("{text:?} is not finite")),
        Err(_) => Err(format!("{:?} is no number", short(text))),
    }
}

/// Seconds since the epoch. Without an offset a time is in UTC; a number is in seconds, or in milli-, micro- or nanoseconds where it
/// would be after the year 5000 otherwise.
fn time(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        let scale = [1.0, 1e3, 1e6, 1e9]
            .into_iter()
            .find(|scale| (number / scale).abs() < 1e11)?;
        return number.is_finite().then_some(number / scale);
    }
    let timestamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok().or_else(|| {
            let date: jiff::civil::Date = text.parse().ok()?;
            Some(date.at(0, 0, 0, 0))
        })?;
        civil
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    })?;
    Some(timestamp.as_nanosecond() as f64 / 1e9)
}

impl Series {
    /// Puts rows in order of time. Rows of the same time stay in the order of the file.
    fn in_order(&mut self) {
        let wrong = self.rows.windows(2).position(|pair| pair[1].time < pair[0].time);
        if let Some(at) = wrong {
            self.faults.push(format!(
                "line {}: earlier than the row before it; the rows were put in order of time",
                self.rows[at + 1].line
            ));
            self.rows.sort_by(|a, b| a.time.total_cmp(&b.time));
        }
    }

    /// Times that only number the rows (0, 1, 2 ...) are steps of the given length, not seconds.
    fn numbered(&mut self, step_s: f64) {
        const YEARS_1973: f64 = 1e8;
        let are_numbers = self
            .rows
            .iter()
            .all(|row| (0.0..YEARS_1973).contains(&row.time) && row.time.fract() == 0.0);
        if are_numbers && self.rows.len() > 2 && self.usual_step() == 1.0 && step_s != 1.0 {
            for row in &mut self.rows {
                row.time *= step_s;
            }
        }
    }

    /// The most frequent distance between rows, the smaller of two that are equally frequent; a minute where there is none.
    pub(crate) fn usual_step(&self) -> f64 {
        let mut steps: Vec<f64> = self
            .rows
            .windows(2)
            .map(|pair| pair[1].time - pair[0].time)
            .filter(|step| *step > 0.0)
            .collect();
        steps.sort_by(f64::total_cmp);
        let mut best = (0, 60.0);
        for group in steps.chunk_by(|a, b| a == b) {
            if group.len() > best.0 {
                best = (group.len(), group[0]);
            }
        }
        best.1
    }

    /// Whether all values are whole numbers and none is negative.
    pub(crate) fn looks_counted(&self) -> bool {
        let mut values = self
            .rows
            .iter()
            .map(|row| row.value)
            .filter(|value| !value.is_nan());
        values.all(|value| value >= 0.0 && value.fract() == 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Series>, String> {
        parse(text.as_bytes(), "f.csv", None)
    }

    fn values(series: &Series) -> Vec<(f64, f64)> {
        series.rows.iter().map(|row| (row.time, row.value)).collect()
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for text in [
            "2025-03-10T09:45:00Z",
            "2025-03-10 09:45:00",
            "2025-03-10T10:45:00+01:00",
            "1741599900",
            "1741599900000",
            "1741599900.0",
            "1741599900000000000",
        ] {
            assert_eq!(time(text), Some(1_741_599_900.0), "{text}");
        }
        assert_eq!(time("2025-03-10"), Some(1_741_564_800.0));
        for text in ["", "yesterday", "2025-13-10", "nan", "inf", "1e300"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn headers_are_optional_and_wide_files_are_several_series() {
        let plain = of("60,1\n120,2\n").unwrap();
        assert_eq!(values(&plain[0]), [(60.0, 1.0), (120.0, 2.0)]);
        assert_eq!(plain[0].name, "f.csv");
        let headed = of("\u{feff}timestamp,value\n60,1\n120,2\n").unwrap();
        assert_eq!(values(&headed[0]), values(&plain[0]));
        let wide = of("time,a,b\n60,1,5\n120,,6\n").unwrap();
        assert_eq!((wide[0].name.as_str(), wide[1].name.as_str()), ("a", "b"));
        assert!(wide[0].rows[1].value.is_nan());
        assert_eq!(values(&wide[1]), [(60.0, 5.0), (120.0, 6.0)]);
        assert_eq!(wide[0].usual_step(), 60.0);
    }

    #[test]
    fn what_cannot_be_used_is_named_by_line() {
        assert!(of("").unwrap_err().contains("empty"));
        assert!(of("timestamp,value\n").unwrap_err().contains("no row"));
        let texts = of("name,city\nann,rome\nbob,oslo\n").unwrap_err();
        assert!(texts.starts_with("line 2: \"ann\" is no time"), "{texts}");
        assert!(of("1\n2\n").unwrap_err().contains("--step"));
        let some = of("60,1\n120,x\n180,inf\n240,3,4\nnever,1\n300,5\n").unwrap();
        assert_eq!(values(&some[0]), [(60.0, 1.0), (300.0, 5.0)]);
        let faults = some[0].faults.join("; ");
        assert!(
            faults.contains("line 2: \"x\" is no number") && faults.contains("4 of 6 rows were left out"),
            "{faults}"
        );
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let endless = parse(std::io::repeat(b'1'), "f.csv", None).unwrap_err();
        assert!(endless.contains("a line of more than 1048576 bytes"), "{endless}");
        let begun = "60,1\n120,2\n".as_bytes().chain(std::io::repeat(0));
        let some = parse(begun, "f.csv", None).unwrap();
        assert_eq!(values(&some[0]), [(60.0, 1.0), (120.0, 2.0)]);
        assert!(
            some[0].faults[0].contains("what comes after it is not used"),
            "{:?}",
            some[0].faults
        );
    }

    #[test]
    fn rows_are_put_in_order() {
        let series = of("180,3\n60,1\n120,2\n").unwrap();
        assert_eq!(values(&series[0]), [(60.0, 1.0), (120.0, 2.0), (180.0, 3.0)]);
        assert!(
            series[0].faults[0].starts_with("line 2"),
            "{:?}",
            series[0].faults
        );
    }
}
