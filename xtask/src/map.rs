//! The world map inside the program, anew: Natural Earth's countries (public domain), projected once to whole numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use crate::npm;

const PACKAGES: [npm::Package; 2] = [
    // Natural Earth 4.1 as TopoJSON.
    (
        "world-atlas",
        "2.0.2",
        "sha512-IXfV0qwlKXpckz1FhwXVwKRjiIhOnWttOskm5CtxMsjgE/MXAYRHWJqgXOpM8IkcPBoXnyTU5lFHcYa5ChG0LQ==",
    ),
    // ISO 3166-1: which number is which pair of letters, and names.
    (
        "i18n-iso-countries",
        "7.14.0",
        "sha512-nXHJZYtNrfsi1UQbyRqm3Gou431elgLjKl//CYlnBGt5aTWdRPH1PiS2T/p/n8Q8LnqYqzQJik3Q7mkwvLokeg==",
    ),
];

/// Width of the map in its own units; the height follows.
const WIDTH: f64 = 2000.0;
/// Degrees of latitude that the map shows. Antarctica is a dot.
const SOUTH: f64 = -57.0;
const NORTH: f64 = 84.0;
/// Islands below this many square units are left out, unless a country has nothing larger.
const ISLAND: f64 = 3.0;
/// A country below this many square units is a dot as well: as an area nobody would see it.
const SMALL: f64 = 60.0;

/// Areas that Natural Earth draws without an ISO number: under which code their addresses are registered.
const UNNUMBERED: [(&str, &str); 3] = [("Kosovo", "XK"), ("N. Cyprus", "CY"), ("Somaliland", "SO")];

/// Places that ISO 3166 codes otherwise than Natural Earth draws them: an area that holds the point gets the code; where there is
/// none, the point is a dot. Degrees east and north.
const PLACES: [(&str, f64, f64); 17] = [
    ("AN", -68.9, 12.2), // withdrawn in 2010, still in registries
    ("BQ", -68.27, 12.18),
    ("BV", 3.36, -54.42),
    ("CC", 96.83, -12.17),
    ("CX", 105.63, -10.49),
    ("GF", -53.1, 4.0),
    ("GI", -5.35, 36.14),
    ("GP", -61.55, 16.2),
    ("MQ", -61.0, 14.65),
    ("RE", 55.53, -21.12),
    ("SJ", 16.0, 78.6),
    ("TK", -171.85, -9.2),
    ("TV", 179.2, -8.52),
    ("UA", 34.3, 45.3), // Crimea: UA-43 of ISO 3166-2
    ("UM", 166.63, 19.3),
    ("XK", 20.9, 42.6),
    ("YT", 45.15, -12.82),
];

/// Names that readers know better than the package's first one.
const NAMES: [(&str, &str); 32] = [
    ("AN", "Netherlands Antilles"),
    ("BN", "Brunei"),
    ("BQ", "Caribbean Netherlands"),
    ("CD", "DR Congo"),
    ("CG", "Republic of the Congo"),
    ("CI", "Côte d'Ivoire"),
    ("CN", "China"),
    ("CV", "Cabo Verde"),
    ("CZ", "Czechia"),
    ("FK", "Falkland Islands"),
    ("FM", "Micronesia"),
    ("GM", "Gambia"),
    ("IR", "Iran"),
    ("KR", "South Korea"),
    ("LA", "Laos"),
    ("MD", "Moldova"),
    ("MF", "Saint Martin"),
    ("MK", "North Macedonia"),
    ("PN", "Pitcairn Islands"),
    ("PS", "Palestine"),
    ("RE", "Réunion"),
    ("RU", "Russia"),
    ("SX", "Sint Maarten"),
    ("SY", "Syria"),
    ("TW", "Taiwan"),
    ("TZ", "Tanzania"),
    ("UM", "US Minor Outlying Islands"),
    ("US", "United States"),
    ("VA", "Vatican City"),
    ("VG", "British Virgin Islands"),
    ("VI", "US Virgin Islands"),
    ("VN", "Vietnam"),
];

/// A closed line of points, in degrees or in the map's units, the last point not repeated.
type Ring = Vec<(f64, f64)>;
/// Its outline, then its holes.
type Polygon = Vec<Ring>;

/// Builds `crates/epicenter/data/world.tsv`.
pub(crate) fn build(root: &Path) -> Result<(), String> {
    let packages = npm::fetch(&root.join("target/map"), &PACKAGES)?;
    let read = |path: &str| -> Result<Value, String> {
        let path = packages.join(path);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    };
    let codes = codes(&read("i18n-iso-countries/codes.json")?)?;
    let names = names(&read("i18n-iso-countries/langs/en.json")?)?;
    let mut countries = polygons(&read("world-atlas/countries-110m.json")?, &codes)?;
    // Where the coarse map has nothing, the fine one says at least where the place is.
    let fine = polygons(&read("world-atlas/countries-50m.json")?, &codes)?;
    let mut dots: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (code, polygons) in &fine {
        if !countries.contains_key(code) {
            dots.insert(code.clone(), label(polygons)?);
        }
    }
    for (code, east, north) in PLACES {
        let point = project(east, north);
        let part = countries.iter().find_map(|(owner, polygons)| {
            let found = polygons.iter().position(|polygon| inside(polygon, point))?;
            // A country's largest area is its own: a place in it is too small for this map.
            let largest = polygons
                .iter()
                .all(|polygon| extent(polygon) <= extent(&polygons[found]));
            (!largest).then(|| (owner.clone(), found))
        });
        if let Some((owner, found)) = part {
            let part = countries.get_mut(&owner).map(|polygons| polygons.remove(found));
            countries.entry(code.to_owned()).or_default().extend(part);
        } else if !countries.contains_key(code) {
            dots.insert(code.to_owned(), point);
        }
    }
    countries.remove("AQ");
    dots.insert("AQ".to_owned(), project(0.0, SOUTH + 1.0));
    write(root, &names, &countries, &dots)
}

fn write(
    root: &Path,
    names: &BTreeMap<String, String>,
    countries: &BTreeMap<String, Vec<Polygon>>,
    dots: &BTreeMap<String, (f64, f64)>,
) -> Result<(), String> {
    let height = project(0.0, SOUTH).1.round();
    let mut out = format!(
        "# The world for choropleth maps. Made by `cargo xtask map`; do not edit.
# Shapes: Natural Earth 4.1, 1:110m countries (public domain, naturalearthdata.com), from the npm package world-atlas 2.0.2. Codes and
# names: npm package i18n-iso-countries 7.14.0 (MIT) and xtask/src/map.rs. Areas are coded as ISO 3166 codes them.
# Equal Earth projection, whole numbers, {WIDTH} wide and {height} high. A dot is for what is too small to be seen as an area.
# code, name, x and y of the label, `dot` or `area`, path (SVG)
"
    );
    let all: BTreeSet<&String> = countries.keys().chain(dots.keys()).collect();
    for code in all {
        let name = names.get(code).ok_or_else(|| format!("{code} has no name"))?;
        let (x, y, form, path) = match countries.get(code) {
            Some(polygons) => {
                let (x, y) = label(polygons)?;
                let total: f64 = polygons.iter().map(extent).sum();
                (x, y, if total < SMALL { "dot" } else { "area" }, path(polygons))
            }
            None => {
                let (x, y) = dots.get(code).copied().unwrap_or_default();
                (x, y.min(height - 8.0), "dot", String::new())
            }
        };
        let _ = writeln!(
            out,
            "{code}\t{name}\t{}\t{}\t{form}\t{path}",
            x.round(),
            y.round()
        );
    }
    let file = root.join("crates/epicenter/data/world.tsv");
    std::fs::create_dir_all(file.parent().unwrap_or(root)).map_err(|error| error.to_string())?;
    std::fs::write(&file, out).map_err(|error| format!("{}: {error}", file.display()))
}

/// ISO number to letters.
fn codes(file: &Value) -> Result<BTreeMap<u64, String>, String> {
    let rows = file.as_array().ok_or("codes: no list")?;
    rows.iter()
        .map(|row| {
            let letters = row[0].as_str().ok_or("codes: no letters")?;
            let number = row[2]
                .as_str()
                .and_then(|n| n.parse().ok())
                .ok_or("codes: no number")?;
            Ok((number, letters.to_owned()))
        })
        .collect()
}

fn names(file: &Value) -> Result<BTreeMap<String, String>, String> {
    let listed = file["countries"].as_object().ok_or("names: no object")?;
    let mut names: BTreeMap<String, String> = listed
        .iter()
        .filter_map(|(code, name)| {
            let first = name.as_str().or_else(|| name[0].as_str())?;
            Some((code.clone(), first.to_owned()))
        })
        .collect();
    names.extend(NAMES.map(|(code, name)| (code.to_owned(), name.to_owned())));
    Ok(names)
}

/// The areas of each code in a TopoJSON file, projected.
fn polygons(
    topology: &Value,
    codes: &BTreeMap<u64, String>,
) -> Result<BTreeMap<String, Vec<Polygon>>, String> {
    let arcs = arcs(topology)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut countries: BTreeMap<String, Vec<Polygon>> = BTreeMap::new();
    for geometry in list(&topology["objects"]["countries"]["geometries"]) {
        let number = geometry["id"].as_str().and_then(|id| id.parse::<u64>().ok());
        let name = geometry["properties"]["name"].as_str().unwrap_or_default();
        let unnumbered = UNNUMBERED.iter().find(|(known, _)| *known == name);
        let code = match (number.and_then(|n| codes.get(&n)), unnumbered) {
            (Some(code), _) => code.clone(),
            (None, Some((_, code))) => (*code).to_owned(),
            // Uninhabited, or claimed by several: nobody's addresses.
            (None, None) => continue,
        };
        let parts = match geometry["type"].as_str() {
            Some("Polygon") => vec![geometry["arcs"].clone()],
            Some("MultiPolygon") => list(&geometry["arcs"]),
            _ => return Err(format!("{name}: neither Polygon nor MultiPolygon")),
        };
        for part in parts {
            let rings: Result<Polygon, String> = list(&part)
                .iter()
                .map(|ring| joined(&list(ring), &arcs))
                .collect();
            countries.entry(code.clone()).or_default().extend(cut(&rings?));
        }
    }
    Ok(countries)
}

/// The arcs of a TopoJSON file: differences of whole numbers, scaled to degrees.
fn arcs(topology: &Value) -> Result<Vec<Ring>, String> {
    let number = |value: &Value| value.as_f64().ok_or("topology: a number is missing");
    let transform = &topology["transform"];
    let (sx, sy) = (number(&transform["scale"][0])?, number(&transform["scale"][1])?);
    let (tx, ty) = (
        number(&transform["translate"][0])?,
        number(&transform["translate"][1])?,
    );
    let mut arcs = Vec::new();
    for arc in topology["arcs"].as_array().ok_or("topology: no arcs")? {
        let (mut x, mut y) = (0.0, 0.0);
        let mut points = Vec::new();
        for step in arc.as_array().ok_or("topology: an arc is no list")? {
            x += number(&step[0])?;
            y += number(&step[1])?;
            points.push((x * sx + tx, y * sy + ty));
        }
        arcs.push(points);
    }
    Ok(arcs)
}

/// A ring of arcs; the arc `!n` is the arc n from its end.
fn joined(indices: &[Value], arcs: &[Ring]) -> Result<Ring, String> {
    let mut ring = Ring::new();
    for index in indices {
        let index = index.as_i64().ok_or("topology: an arc has no number")?;
        let at = usize::try_from(if index < 0 { !index } else { index }).unwrap_or_default();
        let mut arc = arcs.get(at).ok_or("topology: no such arc")?.clone();
        if index < 0 {
            arc.reverse();
        }
        ring.pop(); // an arc begins where the one before ends
        ring.extend(arc);
    }
    ring.pop();
    Ok(ring)
}

/// A polygon in degrees, projected; in two where it crosses the edge of the map at 180 degrees.
fn cut(polygon: &Polygon) -> Vec<Polygon> {
    let mut polygon = polygon.clone();
    // Natural Earth's rings go around the globe: make each continuous first.
    for ring in &mut polygon {
        for i in 1..ring.len() {
            let turns = ((ring[i].0 - ring[i - 1].0) / 360.0).round();
            ring[i].0 -= 360.0 * turns;
        }
    }
    [-360.0, 0.0, 360.0]
        .into_iter()
        .filter_map(|shift| {
            let part: Polygon = polygon
                .iter()
                .map(|ring| within(&within(ring, 180.0 - shift, 1.0), -180.0 - shift, -1.0))
                .map(|ring| ring.iter().map(|p| project(p.0 + shift, p.1)).collect::<Ring>())
                .filter(|ring| ring.len() > 2)
                .collect();
            (!part.is_empty()).then_some(part)
        })
        .collect()
}

/// What of a ring lies west of a meridian, or with `side` -1 east of it (Sutherland and Hodgman).
fn within(ring: &[(f64, f64)], meridian: f64, side: f64) -> Ring {
    let inside = |p: &(f64, f64)| (meridian - p.0) * side >= 0.0;
    let mut out = Ring::new();
    for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        if inside(a) {
            out.push(*a);
        }
        if inside(a) != inside(b) {
            out.push((meridian, a.1 + (b.1 - a.1) * (meridian - a.0) / (b.0 - a.0)));
        }
    }
    out
}

/// Equal Earth (Šavrič, Patterson and Jenny 2018): areas are true, so that a share does not look larger in the north.
fn project(east: f64, north: f64) -> (f64, f64) {
    const A: [f64; 4] = [1.340264, -0.081106, 0.000893, 0.003796];
    let plane = |east: f64, north: f64| {
        let t = (3f64.sqrt() / 2.0 * north.to_radians().sin()).asin();
        let (t2, t6) = (t * t, t.powi(6));
        let slope = 9.0 * A[3] * t2 * t6 + 7.0 * A[2] * t6 + 3.0 * A[1] * t2 + A[0];
        let x = 2.0 * 3f64.sqrt() * east.to_radians() * t.cos() / (3.0 * slope);
        (x, t * (A[3] * t2 * t6 + A[2] * t6 + A[1] * t2 + A[0]))
    };
    let right = plane(180.0, 0.0).0;
    let top = plane(0.0, NORTH).1;
    let (x, y) = plane(east, north);
    let scale = WIDTH / (2.0 * right);
    ((x + right) * scale, (top - y) * scale)
}

fn extent(polygon: &Polygon) -> f64 {
    polygon.first().map_or(0.0, |ring| area(ring).abs())
}

/// Positive where the points go clockwise on the screen.
fn area(ring: &[(f64, f64)]) -> f64 {
    let next = ring.iter().cycle().skip(1);
    ring.iter()
        .zip(next)
        .map(|(a, b)| a.0 * b.1 - b.0 * a.1)
        .sum::<f64>()
        / 2.0
}

fn inside(polygon: &Polygon, (x, y): (f64, f64)) -> bool {
    let crossings = polygon
        .iter()
        .flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1)));
    crossings
        .filter(|(a, b)| (a.1 > y) != (b.1 > y) && x < (b.0 - a.0) * (y - a.1) / (b.1 - a.1) + a.0)
        .count()
        % 2
        == 1
}

/// A point well inside the largest area: of a grid over it, the one that is farthest from its border.
fn label(polygons: &[Polygon]) -> Result<(f64, f64), String> {
    const GRID: u32 = 40;
    let largest = polygons
        .iter()
        .max_by(|a, b| extent(a).total_cmp(&extent(b)))
        .ok_or("a country has no area")?;
    let points = || largest.iter().flatten();
    let min = points().fold((f64::MAX, f64::MAX), |m, p| (m.0.min(p.0), m.1.min(p.1)));
    let max = points().fold((f64::MIN, f64::MIN), |m, p| (m.0.max(p.0), m.1.max(p.1)));
    let at = |low: f64, high: f64, i: u32| low + (high - low) * (f64::from(i) + 0.5) / f64::from(GRID);
    let middle = ((min.0 + max.0) / 2.0, (min.1 + max.1) / 2.0);
    let grid = (0..GRID * GRID).map(|i| (at(min.0, max.0, i % GRID), at(min.1, max.1, i / GRID)));
    let free = |point: (f64, f64)| {
        points()
            .map(|p| (p.0 - point.0).hypot(p.1 - point.1))
            .fold(f64::MAX, f64::min)
    };
    Ok(grid
        .filter(|point| inside(largest, *point))
        .max_by(|a, b| free(*a).total_cmp(&free(*b)))
        .unwrap_or(middle))
}

/// The areas as an SVG path: whole numbers, each point relative to the one before.
fn path(polygons: &[Polygon]) -> String {
    let rounded = |ring: &Ring| -> Vec<(i64, i64)> {
        let mut points: Vec<(i64, i64)> = ring
            .iter()
            .map(|p| (p.0.round() as i64, p.1.round() as i64))
            .collect();
        points.dedup();
        points
    };
    let largest = polygons.iter().map(extent).fold(0.0, f64::max);
    let mut path = String::new();
    for ring in polygons.iter().flatten() {
        let size = area(ring).abs();
        let points = rounded(ring);
        if points.len() < 3 || (size < ISLAND && size < largest) {
            continue;
        }
        let mut before = points[0];
        let _ = write!(path, "M{} {}l", before.0, before.1);
        for (n, point) in points[1..].iter().enumerate() {
            let (dx, dy) = (point.0 - before.0, point.1 - before.1);
            // A minus sign separates as well as a space does.
            let gap = if n > 0 && dx >= 0 { " " } else { "" };
            let between = if dy >= 0 { " " } else { "" };
            let _ = write!(path, "{gap}{dx}{between}{dy}");
            before = *point;
        }
        path.push('z');
    }
    path
}
