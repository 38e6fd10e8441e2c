//! Line plots as SVG: axes with sensible ticks, linear or logarithmic, lines, and marks. In the page
//! colours are classes of its style sheet, so that dark mode and print change them, and letters are
//! whatever it uses; in a file of its own a plot has colours that suit light and dark paper.

use std::fmt::Write;

use shared::numbers;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 100.0;
/// Wide enough for half of the longest label of a tick.
const RIGHT: f64 = 44.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 54.0;
/// A row of the legend in a file of its own, and about what a letter takes there.
const ROW: f64 = 24.0;
const LETTER: f64 = 8.2;
/// The most that a digit of a tick's label takes, in a wide font.
const DIGIT: f64 = 9.6;

const STYLE: &str = include_str!("plot.css");
/// What the style sheet leaves open, for files of their own: neither light nor dark.
const COLOURS: [(&str, &str); 16] = [
    ("--ink", "#7d8590"),
    ("--soft", "#7d8590"),
    ("--rule", "#7d859055"),
    ("--bad", "#d84a4a"),
    ("--c0", "#2f81d7"),
    ("--c1", "#e0722d"),
    ("--c2", "#1f9e77"),
    ("--c3", "#a862b3"),
    ("--c4", "#a68f1f"),
    ("--c5", "#d84a4a"),
    ("--c6", "#7d8590"),
    ("--c7", "#a4683a"),
    ("--c8", "#d9609f"),
    ("--c9", "#7d9a2c"),
    ("--c10", "#7c74d6"),
    ("--c11", "#1a97a8"),
];

/// How values lie on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// From 0.
    Linear,
    Log,
    /// Quantiles, by the number of their nines.
    Nines,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    /// Values are microseconds.
    Time,
    Seconds,
    Bytes,
    Cores,
    Quantile,
}

#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) scale: Scale,
    pub(super) unit: Unit,
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// In the legend; lines without a name are there for comparison.
    pub(super) name: Option<String>,
    /// Which colour of the page's.
    pub(super) colour: usize,
    pub(super) style: Style,
    pub(super) points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Solid,
    Dashed,
    Thin,
    /// Each value holds until the next.
    Steps,
}

/// A place on the horizontal axis that has a name.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) x: f64,
    pub(super) label: String,
}

#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub(super) title: &'static str,
    /// How to read it.
    pub(super) caption: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    pub(super) marks: Vec<Mark>,
}

/// The part of an axis that is shown, and where it is.
#[derive(Clone, Copy, Debug)]
struct Span {
    scale: Scale,
    low: f64,
    high: f64,
    /// From tick to tick of a linear scale.
    step: f64,
    begin: f64,
    end: f64,
}

impl Plot {
    /// Whether there is something to see.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.points.is_empty())
    }

    /// The figure as part of a page, or nothing if there is nothing to see.
    pub(super) fn render(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        format!(
            "<figure>\n<h3>{0}</h3>\n{1}<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{0}\">\n{2}</svg>\n<figcaption>{3}</figcaption>\n</figure>\n",
            escape(self.title),
            self.legend(),
            self.draw(),
            escape(&self.caption)
        )
    }

    /// The figure as a file of its own, with its legend above it.
    pub(super) fn file(&self) -> String {
        let mut style = STYLE.to_owned();
        for (name, colour) in COLOURS {
            style = style.replace(&format!("var({name})"), colour);
        }
        let (mut keys, mut x, mut row) = (String::new(), LEFT, 0);
        for line in &self.lines {
            let Some(name) = &line.name else { continue };
            let width = 48.0 + LETTER * name.chars().count() as f64;
            if x > LEFT && x + width > WIDTH - RIGHT {
                (x, row) = (LEFT, row + 1);
            }
            let y = ROW * f64::from(row);
            let dash = if line.style == Style::Dashed { " dashed" } else { "" };
            writeln!(
                keys,
                "<path class=\"line c{}{dash}\" d=\"M{x:.1} {:.1}h24\"/><text class=\"tick\" \
                 x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                line.colour,
                y + 12.0,
                x + 30.0,
                y + 17.0,
                escape(name)
            )
            .expect("text");
            x += width;
        }
        let above = ROW * f64::from(row + 1);
        let height = HEIGHT + above;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" role=\"img\" font-family=\"system-ui, \
             Helvetica, Arial, sans-serif\">\n<title>{}</title>\n<desc>{}</desc>\n<style>\n\
             {style}</style>\n{keys}<g transform=\"translate(0 {above})\">\n{}</g>\n</svg>\n",
            escape(self.title),
            escape(&self.caption),
            self.draw()
        )
    }

    /// What the file of its own is called.
    pub(super) fn file_name(&self) -> String {
        let word = |c: char| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = self.title.replace('\'', "").chars().map(word).collect();
        format!("{name}.svg")
    }

    fn draw(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let xs = points().map(|point| point.0).chain(self.marks.iter().map(|mark| mark.x));
        let x = self.x.span(xs, LEFT, WIDTH - RIGHT);
        let y = self.y.span(points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        let mut svg = String::new();
        self.draw_axes(&mut svg, x, y);
        for mark in &self.marks {
            draw_mark(&mut svg, mark, x);
        }
        // thin lines behind the others
        let (thin, others): (Vec<_>, Vec<_>) =
            self.lines.iter().partition(|line| line.style == Style::Thin);
        for line in thin.into_iter().chain(others) {
            draw_line(&mut svg, line, x, y);
        }
        svg
    }

    fn legend(&self) -> String {
        let mut items = String::new();
        for line in &self.lines {
            let Some(name) = &line.name else { continue };
            let dash = if line.style == Style::Dashed { " dashed" } else { "" };
            write!(
                items,
                "<li><svg viewBox=\"0 0 24 8\" aria-hidden=\"true\"><path class=\"line c{}{dash}\" \
                 d=\"M0 4H24\"/></svg>{}</li>",
                line.colour,
                escape(name)
            )
            .expect("text");
        }
        if items.is_empty() { items } else { format!("<ul class=\"legend\">{items}</ul>\n") }
    }

    fn draw_axes(&self, svg: &mut String, x: Span, y: Span) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in y.ticks() {
            let at = y.place(tick);
            writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/><text class=\"tick\" x=\"{:.1}\" \
                 y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                at + 5.0,
                self.y.unit.write(tick)
            )
            .expect("text");
        }
        let mut free = 0.0;
        for tick in x.ticks() {
            let (at, label) = (x.place(tick), self.x.unit.write(tick));
            let half = DIGIT * label.chars().count() as f64 / 2.0;
            // the label of this tick would stand on that of the tick before
            if at - half < free {
                continue;
            }
            free = at + half;
            writeln!(
                svg,
                "<path class=\"axis\" d=\"M{at:.1} {bottom}v5\"/><text class=\"tick\" x=\"{at:.1}\" \
                 y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                bottom + 21.0,
            )
            .expect("text");
        }
        let middle = (TOP + bottom) / 2.0;
        write!(
            svg,
            "<path class=\"axis\" d=\"M{LEFT} {bottom}H{right}\"/>\n\
             <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
             <text class=\"label\" transform=\"translate(16 {middle:.1}) rotate(-90)\" \
             text-anchor=\"middle\">{}</text>\n",
            (LEFT + right) / 2.0,
            HEIGHT - 8.0,
            escape(self.x.label),
            escape(self.y.label)
        )
        .expect("text");
    }
}

fn draw_line(svg: &mut String, line: &Line, x: Span, y: Span) {
    let mut path = String::new();
    let mut before: Option<f64> = None;
    for &(px, py) in &line.points {
        let (px, py) = (x.place(px), y.place(py));
        match before {
            None => write!(path, "M{px:.1} {py:.1}"),
            Some(_) if line.style == Style::Steps => write!(path, "H{px:.1}V{py:.1}"),
            Some(_) => write!(path, "L{px:.1} {py:.1}"),
        }
        .expect("text");
        before = Some(py);
    }
    let style = match line.style {
        Style::Solid | Style::Steps => "",
        Style::Dashed => " dashed",
        Style::Thin => " thin",
    };
    if let [(px, py)] = line.points[..] {
        let (px, py) = (x.place(px), y.place(py));
        let colour = line.colour;
        writeln!(svg, "<circle class=\"dot c{colour}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\"/>")
            .expect("text");
    } else if !path.is_empty() {
        writeln!(svg, "<path class=\"line c{}{style}\" d=\"{path}\"/>", line.colour).expect("text");
    }
}

fn draw_mark(svg: &mut String, mark: &Mark, x: Span) {
    let at = x.place(mark.x);
    // the label is on the side where there is room
    let (anchor, offset) = if at > WIDTH / 2.0 { ("end", -6.0) } else { ("start", 6.0) };
    writeln!(
        svg,
        "<path class=\"mark\" d=\"M{at:.1} {TOP}V{}\"/><text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\" \
         text-anchor=\"{anchor}\">{}</text>",
        HEIGHT - BOTTOM,
        at + offset,
        TOP + 14.0,
        escape(&mark.label)
    )
    .expect("text");
}

impl Axis {
    /// The part of the axis that shows all values.
    fn span(&self, values: impl Iterator<Item = f64>, begin: f64, end: f64) -> Span {
        let (scale, mut step) = (self.scale, 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| scale != Scale::Log || *value > 0.0) {
            low = low.min(value);
            high = high.max(value);
        }
        match scale {
            Scale::Linear => {
                low = 0.0;
                high = high.max(1e-3);
                step = if self.unit == Unit::Count { whole_step(high) } else { round_step(high) };
                high = (high / step - 1e-6).ceil() * step;
            }
            Scale::Log => {
                (low, high) = if low.is_finite() { (low, high) } else { (1.0, 10.0) };
                let (least, most) = (floor_125(low), ceil_125(high.max(low * 1.01)));
                (low, high) = match has_only_decades(least, most) {
                    true => (decade(least), 10.0 * decade(most * 0.999)),
                    false => (least, most),
                };
            }
            Scale::Nines => {
                low = 0.0;
                high = high.clamp(0.9, 1.0 - 1e-9);
            }
        }
        Span { scale, low, high, step, begin, end }
    }
}

impl Span {
    fn place(self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => value / self.high,
            Scale::Log => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
            Scale::Nines => nines(value) / nines(self.high),
        };
        self.begin + part.clamp(0.0, 1.0) * (self.end - self.begin)
    }

    fn ticks(self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let count = (self.high / self.step).round() as u32;
                (0..=count).map(|at| f64::from(at) * self.step).collect()
            }
            Scale::Log => {
                let factors: &[f64] = match has_only_decades(self.low, self.high) {
                    true => &[1.0],
                    false => &[1.0, 2.0, 5.0],
                };
                let first = self.low.log10().floor() as i32;
                let powers = (first..).map(|power| 10_f64.powi(power));
                powers
                    .take_while(|power| *power <= self.high * 1.001)
                    .flat_map(|power| factors.iter().map(move |factor| power * factor))
                    .filter(|tick| (self.low * 0.999..=self.high * 1.001).contains(tick))
                    .collect()
            }
            Scale::Nines => {
                let all = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999];
                all.into_iter().filter(|tick| *tick <= self.high + 1e-12).collect()
            }
        }
    }
}

fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile.min(1.0 - 1e-9)).log10()
}

/// A round number of which about five make the range.
fn round_step(high: f64) -> f64 {
    let rough = high / 5.0;
    let power = decade(rough);
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|f| f * power >= rough * 0.999);
    factor.unwrap_or(10.0) * power
}

/// The same for things that are counted: there is no half of a client.
fn whole_step(high: f64) -> f64 {
    match round_step(high) {
        step if step < 1.0 => 1.0,
        2.5 => 5.0,
        step => step,
    }
}

/// Whether a logarithmic axis is so long that only powers of ten have ticks. Such an axis begins and
/// ends with one, so that both ends are labelled.
fn has_only_decades(low: f64, high: f64) -> bool {
    (high / low).log10() > 2.001
}

/// The power of ten that is not above the value.
fn decade(value: f64) -> f64 {
    10_f64.powf(value.log10().floor())
}

fn floor_125(value: f64) -> f64 {
    let power = decade(value);
    [5.0, 2.0].into_iter().find(|f| f * power <= value).unwrap_or(1.0) * power
}

fn ceil_125(value: f64) -> f64 {
    let power = decade(value);
    [1.0, 2.0, 5.0].into_iter().find(|f| f * power >= value * 0.999).unwrap_or(10.0) * power
}

impl Unit {
    fn write(self, value: f64) -> String {
        match self {
            Unit::Count if value >= 1e6 => format!("{} M", trimmed(value / 1e6)),
            Unit::Count if value >= 1.0 => numbers::count(value.round() as u64),
            Unit::Count | Unit::Cores => trimmed(value),
            Unit::Time if value == 0.0 => "0".to_owned(),
            Unit::Time if value < 1e3 => format!("{} µs", trimmed(value)),
            Unit::Time if value < 1e6 => format!("{} ms", trimmed(value / 1e3)),
            Unit::Time => format!("{} s", trimmed(value / 1e6)),
            Unit::Seconds => trimmed(value),
            Unit::Bytes => format!("{} MiB", trimmed(value)),
            Unit::Quantile => format!("{} %", trimmed(value * 100.0)),
        }
    }
}

/// With as many decimals as it has.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.5}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text inside an element or an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale, unit: Unit) -> Axis {
        Axis { label: "", scale, unit }
    }

    fn ticks(scale: Scale, low: f64, high: f64) -> Vec<f64> {
        axis(scale, Unit::Cores).span([low, high].into_iter(), 0.0, 1.0).ticks()
    }

    /// The labels below the plot.
    fn labels_below(x: Axis, values: [f64; 2]) -> Vec<(f64, String)> {
        let (scale, unit) = (Scale::Linear, Unit::Count);
        let points = values.map(|value| (value, 1.0)).to_vec();
        let lines = vec![Line { name: None, colour: 0, style: Style::Solid, points }];
        let (y, caption) = (axis(scale, unit), String::new());
        let svg = Plot { title: "", caption, x, y, lines, marks: Vec::new() }.draw();
        let below = svg.lines().filter(|line| line.starts_with("<path class=\"axis\""));
        let label = |line: &str| {
            let at = line.split("M").nth(1)?.split(' ').next()?.parse().ok()?;
            let text = line.strip_suffix("</text>")?.rsplit('>').next()?;
            Some((at, text.to_owned()))
        };
        below.filter_map(label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(Scale::Linear, 3.0, 97.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(Scale::Linear, 0.0, 0.0).len(), 6);
        assert_eq!(ticks(Scale::Log, 30.0, 700.0), [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
        let decades = ticks(Scale::Log, 30.0, 700_000.0);
        let expected = [10.0, 100.0, 1e3, 1e4, 1e5, 1e6];
        let is_close = |(a, b): (&f64, f64)| (a / b - 1.0).abs() < 1e-9;
        assert!(decades.iter().zip(expected).all(is_close), "{decades:?}");
        assert_eq!(ticks(Scale::Nines, 0.0, 0.9995), [0.0, 0.5, 0.9, 0.99, 0.999]);
    }

    #[test]
    fn what_is_counted_has_whole_ticks_in_equal_distances() {
        for high in (1..=130).map(f64::from) {
            let ticks = axis(Scale::Linear, Unit::Count).span([high].into_iter(), 0.0, 1.0).ticks();
            let labels: Vec<f64> =
                ticks.iter().map(|tick| Unit::Count.write(*tick).parse().unwrap()).collect();
            assert_eq!(labels, ticks, "up to {high}");
            assert!((2..=7).contains(&ticks.len()) && ticks.last() >= Some(&high), "{ticks:?}");
        }
    }

    #[test]
    fn both_ends_of_a_long_logarithmic_axis_have_a_tick() {
        for (low, high) in [(30.0, 700_000.0), (100.0, 29_000.0), (512.0, 120_000.0), (1.0, 1e6)] {
            let span = axis(Scale::Log, Unit::Time).span([low, high].into_iter(), 0.0, 1.0);
            let ticks = span.ticks();
            let ends = [ticks[0], ticks[ticks.len() - 1]].map(|tick| span.place(tick));
            assert!(ends[0] < 0.001 && ends[1] > 0.999, "{low} to {high}: {ticks:?}");
        }
    }

    #[test]
    fn labels_below_a_plot_are_whole_and_apart() {
        let mut all = vec![(axis(Scale::Linear, Unit::Count), 99_999.0)];
        for nines in 1..=6 {
            let quantile = 1.0 - 10_f64.powi(-nines);
            all.push((axis(Scale::Nines, Unit::Quantile), quantile));
        }
        for (x, high) in all {
            let labels = labels_below(x, [0.0, high]);
            assert!(labels.len() >= 2, "{labels:?}");
            let ends = |(at, text): &(f64, String)| {
                let half = DIGIT * text.chars().count() as f64 / 2.0;
                (at - half, at + half)
            };
            let ends: Vec<_> = labels.iter().map(ends).collect();
            assert!(ends.iter().all(|&(begin, end)| begin >= 0.0 && end <= WIDTH), "{labels:?}");
            assert!(ends.windows(2).all(|two| two[0].1 <= two[1].0), "{labels:?}");
        }
    }

    #[test]
    fn every_colour_is_in_both_style_sheets() {
        let page = include_str!("page.css");
        for colour in 0..super::super::figures::COLOURS {
            let name = format!("--c{colour}");
            assert!(STYLE.contains(&format!(".c{colour} {{ stroke: var({name});")), "{name}");
            assert!(STYLE.contains(&format!(".dot.c{colour} {{ fill: var({name});")), "{name}");
            assert!(COLOURS.iter().any(|(known, _)| *known == name), "{name}");
            // by day, by night, on paper
            assert_eq!(page.matches(&format!("{name}: #")).count(), 3, "{name}");
        }
    }

    #[test]
    fn values_lie_between_the_ends() {
        for scale in [Scale::Linear, Scale::Log] {
            let span = axis(scale, Unit::Time).span([5.0, 80.0].into_iter(), 100.0, 0.0);
            let places: Vec<_> = [5.0, 20.0, 80.0].map(|value| span.place(value)).into();
            assert!(places.iter().all(|place| (0.0..=100.0).contains(place)), "{places:?}");
            assert!(places[0] > places[1] && places[1] > places[2], "{places:?}");
        }
    }

    #[test]
    fn figures_have_their_unit() {
        for (unit, value, text) in [
            (Unit::Count, 2_500_000.0, "2.5 M"),
            (Unit::Count, 20_000.0, "20,000"),
            (Unit::Count, 0.5, "0.5"),
            (Unit::Time, 200.0, "200 µs"),
            (Unit::Time, 20_000.0, "20 ms"),
            (Unit::Time, 5e6, "5 s"),
            (Unit::Quantile, 0.999, "99.9 %"),
            (Unit::Quantile, 0.0, "0 %"),
        ] {
            assert_eq!(unit.write(value), text);
        }
    }

    #[test]
    fn nothing_of_a_name_is_markup() {
        let axis = |label| Axis { label, ..axis(Scale::Linear, Unit::Count) };
        let name = Some("</svg><script>alert('1')</script>\"".to_owned());
        let points = vec![(0.0, 1.0), (1.0, 2.0)];
        let line = Line { name, colour: 0, style: Style::Solid, points };
        let mark = Mark { x: 1.0, label: "<b>".to_owned() };
        let caption = "<i>".to_owned();
        let (lines, marks) = (vec![line], vec![mark]);
        let plot = Plot { title: "a & b", caption, x: axis("x"), y: axis("y"), lines, marks };
        let svg = plot.render();
        assert!(!svg.contains("<script") && !svg.contains("<b>") && !svg.contains("<i>"), "{svg}");
        assert!(svg.contains("a &amp; b"));
        let svg = plot.file();
        assert!(!svg.contains("<script") && !svg.contains("<b>") && !svg.contains("<i>"), "{svg}");
        assert!(!svg.contains("var("), "{svg}");
        assert_eq!(plot.file_name(), "a---b.svg");
        assert_eq!(Plot { lines: Vec::new(), ..plot }.render(), "");
    }
}
