//! Charts as SVG text: stacked bars, two lines, and sparklines. Only attributes and classes, because the page's policy
//! forbids inline styles.
//!
//! Every label that comes from outside is escaped here, since templates take the SVG as it is.

use std::fmt::Write as _;

use super::markup::escape;
use super::words;

const LEFT: f64 = 40.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 20.0;
const GRID_LINES: u32 = 4;
/// A sparkline has room for at least this many slots: one alone would be a block.
const LEAST_SLOTS: usize = 12;
/// About this many times are shown below a chart.
const TIME_LABELS: usize = 6;
/// About the width of a time.
const LABEL_WIDTH: f64 = 28.0;

/// The size of a chart's own coordinates; browsers scale it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

/// The frame of a chart: its description for a screen reader, and the page that a drag across it opens.
#[derive(Debug, Clone)]
pub(super) struct Frame<'a> {
    pub(super) size: Size,
    /// The shape of the data in one sentence.
    pub(super) label: &'a str,
    /// The time below each slot.
    pub(super) times: &'a [String],
    /// Slots at which a state changed, with what happened.
    pub(super) marks: &'a [(usize, String)],
    /// The page that a chosen range opens; `None`: dragging does nothing.
    pub(super) zoom: Option<&'a str>,
}

/// Bars of one slot each, stacked in the order of the layers. A layer is a class and its value for each slot.
pub(super) fn bars(frame: &Frame<'_>, layers: &[(&str, Vec<u64>)]) -> String {
    let slots = frame.times.len().max(1);
    let sum =
        |slot: usize| layers.iter().map(|(_, values)| values.get(slot).copied().unwrap_or(0)).sum::<u64>();
    let most = (0..slots).map(sum).max().unwrap_or(0);
    let (mut svg, scale) = open(frame, most as f64);
    let step = scale.width / slots as f64;
    for slot in 0..slots {
        let mut below = 0.0;
        for (class, values) in layers {
            let value = values.get(slot).copied().unwrap_or(0);
            let height = scale.height * value as f64 / scale.top;
            if value > 0 {
                let x = LEFT + step * slot as f64 + step * 0.06;
                let y = TOP + scale.height - below - height;
                let width = step * 0.88;
                push(
                    &mut svg,
                    format_args!(
                        r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#
                    ),
                );
            }
            below += height;
        }
    }
    close(svg, frame, &scale)
}

/// Lines over the slots; a slot without a value interrupts its line. A line is a class and its values.
pub(super) fn lines(frame: &Frame<'_>, lines: &[(&str, Vec<Option<f64>>)]) -> String {
    let slots = frame.times.len().max(1);
    let most = lines.iter().flat_map(|(_, values)| values.iter().flatten()).copied().fold(0.0, f64::max);
    let (mut svg, scale) = open(frame, most);
    let step = scale.width / slots as f64;
    for (class, values) in lines {
        let mut path = String::new();
        let mut is_broken = true;
        for (slot, value) in values.iter().enumerate() {
            let Some(value) = value else {
                is_broken = true;
                continue;
            };
            let (x, y) =
                (LEFT + step * (slot as f64 + 0.5), TOP + scale.height - scale.height * value / scale.top);
            let command = if is_broken { 'M' } else { 'L' };
            push(&mut path, format_args!("{command}{x:.1},{y:.1} "));
            if is_broken && values.get(slot + 1).is_none_or(Option::is_none) {
                // A single point would not show.
                push(&mut path, format_args!("h1 "));
            }
            is_broken = false;
        }
        push(&mut svg, format_args!(r#"<path class="{class}" d="{}"/>"#, path.trim_end()));
    }
    close(svg, frame, &scale)
}

/// A row of small bars without axes.
pub(super) fn sparkline(class: &str, label: &str, values: &[u64]) -> String {
    let most = values.iter().copied().max().unwrap_or(0).max(1) as f64;
    let step = 88.0 / values.len().max(LEAST_SLOTS) as f64;
    let mut svg =
        format!(r#"<svg class="spark" viewBox="0 0 88 20" role="img" aria-label="{}">"#, escape(label));
    for (slot, value) in values.iter().enumerate() {
        let height = if *value == 0 { 1.0 } else { (19.0 * *value as f64 / most).max(2.0) };
        let (x, y, width) = (step * slot as f64, 20.0 - height, (step - 1.0).max(0.5));
        push(
            &mut svg,
            format_args!(
                r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#
            ),
        );
    }
    svg.push_str("</svg>");
    svg
}

struct Scale {
    width: f64,
    height: f64,
    /// The value at the top grid line.
    top: f64,
}

/// The opening tag and the grid.
fn open(frame: &Frame<'_>, most: f64) -> (String, Scale) {
    let Size { width, height } = frame.size;
    let scale = Scale {
        width: f64::from(width) - LEFT,
        height: f64::from(height) - TOP - BOTTOM,
        top: round_up(most),
    };
    let zoom = frame.zoom.map(|page| format!(r#" data-zoom="{}""#, escape(page))).unwrap_or_default();
    let mut svg = format!(
        r#"<svg class="chart" viewBox="0 0 {width} {height}" data-left="{LEFT}"{zoom} role="img" aria-label="{}">"#,
        escape(frame.label)
    );
    for line in 0..=GRID_LINES {
        let share = f64::from(line) / f64::from(GRID_LINES);
        let y = TOP + scale.height * (1.0 - share);
        let text = words::number(scale.top * share);
        push(
            &mut svg,
            format_args!(r#"<line class="grid" x1="{LEFT}" x2="{width}" y1="{y:.1}" y2="{y:.1}"/>"#),
        );
        push(&mut svg, format_args!(r#"<text x="34" y="{:.1}" text-anchor="end">{text}</text>"#, y + 4.0));
    }
    (svg, scale)
}

/// The marks, the times and the closing tag.
fn close(mut svg: String, frame: &Frame<'_>, scale: &Scale) -> String {
    let slots = frame.times.len().max(1);
    let step = scale.width / slots as f64;
    for (slot, text) in frame.marks {
        let x = LEFT + step * *slot as f64;
        let bottom = TOP + scale.height;
        push(
            &mut svg,
            format_args!(
                r#"<line class="tick" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{bottom:.1}"><title>{}</title></line>"#,
                escape(text)
            ),
        );
    }
    let every = slots.div_ceil(TIME_LABELS).max(1);
    for (slot, time) in frame.times.iter().enumerate().step_by(every) {
        let (x, y) = (LEFT + step * slot as f64, frame.size.height - 6);
        let width = f64::from(frame.size.width);
        // The last one may have no room to its right.
        let place = if x + LABEL_WIDTH > width {
            format!(r#"x="{width}" y="{y}" text-anchor="end""#)
        } else {
            format!(r#"x="{x:.1}" y="{y}""#)
        };
        push(&mut svg, format_args!("<text {place}>{}</text>", escape(time)));
    }
    svg.push_str("</svg>");
    svg
}

/// The next number of the form 1, 2, 4, 5 or 10 times a power of ten, at least 4, so that grid lines are whole.
fn round_up(most: f64) -> f64 {
    let most = most.max(4.0);
    let power = 10f64.powf(most.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|top| *top >= most)
        .unwrap_or(most)
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 240, height: 90 };

    #[test]
    fn bars_are_stacked_and_labels_escaped() {
        let times = ["12:00".to_owned(), "12:01".to_owned()];
        let marks = [(1, "<b>accoil</b>".to_owned())];
        let frame = Frame {
            size: SIZE,
            label: "a \"quiet\" minute",
            times: &times,
            marks: &marks,
            zoom: Some("/events"),
        };
        insta::assert_snapshot!(
            bars(&frame, &[("b-ok", vec![3, 0]), ("b-fail", vec![1, 2])]).replace('>', ">\n")
        );
    }

    #[test]
    fn a_line_has_gaps_where_nothing_was_measured() {
        let times: Vec<String> = (0..5).map(|minute| format!("12:0{minute}")).collect();
        let frame = Frame { size: SIZE, label: "times", times: &times, marks: &[], zoom: None };
        let svg = lines(&frame, &[("l50", vec![Some(1.0), Some(2.0), None, Some(4.0), None])]);
        assert!(svg.contains(r#"d="M60.0,55.0 L100.0,40.0 M180.0,10.0 h1""#), "{svg}");
        assert!(sparkline("b-fail", "", &[]).ends_with("</svg>"));
    }

    #[test]
    fn the_top_of_the_grid_is_a_round_number() {
        for (most, top) in
            [(0.0, 4.0), (4.0, 4.0), (4.5, 5.0), (318.0, 400.0), (501.0, 1000.0), (1000.0, 1000.0)]
        {
            assert!((round_up(most) - top).abs() < 1e-9, "{most}");
        }
        assert_eq!(
            [0.0, 2.5, 950.0, 1250.0, 1_234_567.0].map(words::number),
            ["0", "2.5", "950", "1,250", "1,234,567"]
        );
    }
}
