//! Draws the medians as bars, one panel a row, one file a group of rows.

use std::path::Path;

use common::Outcome;
use plotters::{
    coord::Shift,
    prelude::{DrawingArea, IntoDrawingArea, PathElement, RGBColor, Rectangle, SVGBackend, Text, WHITE},
    style::{
        Color, IntoFont, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::{
    peers::OURS,
    report::{Figure, short},
    rows::{Group, Row},
};

const PANEL_WIDTH: i32 = 470;
const PANELS_A_LINE: usize = 2;
const TITLE: i32 = 34;
const BAR: i32 = 20;
/// Space for the names of peers, and for figures behind the bars.
const NAMES: i32 = 110;
const FIGURES: i32 = 80;
const CAPTION: i32 = 26;

const OUR_BARS: RGBColor = RGBColor(31, 119, 180);
const BARE_BARS: RGBColor = RGBColor(190, 190, 190);
const OTHER_BARS: RGBColor = RGBColor(255, 170, 90);
const INK: RGBColor = RGBColor(40, 40, 40);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a file for each group that has rows.
pub(crate) fn draw(folder: &Path, caption: &str, rows: &[(&Row, Vec<Figure>)]) -> Outcome<()> {
    let groups = [
        (Group::Calls, "calls.svg"),
        (Group::Bulk, "bulk.svg"),
        (Group::Callbacks, "callbacks.svg"),
        (Group::Connections, "connections.svg"),
    ];
    for (group, file) in groups {
        let rows: Vec<_> = rows.iter().filter(|(row, figures)| row.group == group && !figures.is_empty()).collect();
        if rows.is_empty() {
            continue;
        }
        let height_of = |(_, figures): &&(&Row, Vec<Figure>)| TITLE + BAR * figures.len() as i32 + BAR;
        let heights: Vec<_> =
            rows.chunks(PANELS_A_LINE).map(|line| line.iter().map(height_of).max().unwrap_or(0)).collect();
        let size = ((PANEL_WIDTH * PANELS_A_LINE as i32) as u32, (heights.iter().sum::<i32>() + CAPTION) as u32);
        let path = folder.join(file);
        let root = SVGBackend::new(&path, size).into_drawing_area();
        root.fill(&WHITE)?;
        let mut top = 0;
        for (line, height) in rows.chunks(PANELS_A_LINE).zip(heights) {
            for (at, (row, figures)) in line.iter().enumerate() {
                let left = PANEL_WIDTH * at as i32;
                panel(&root.clone().shrink((left, top), (PANEL_WIDTH, height)), row, figures)?;
            }
            top += height;
        }
        root.draw(&Text::new(caption.to_owned(), (10, top + 4), text(11, HPos::Left, VPos::Top)))?;
        root.present()?;
    }
    Ok(())
}

/// One row: a bar for each peer, the best one on top, with a line from the least to the greatest round.
fn panel(area: &Area<'_>, row: &Row, figures: &[Figure]) -> Outcome<()> {
    let unit = row.unit();
    area.draw(&Text::new(row.title, (10, 8), text(14, HPos::Left, VPos::Top)))?;
    let better = if unit.more_is_better { "" } else { ", less is better" };
    let end = (PANEL_WIDTH - 10, 10);
    area.draw(&Text::new(format!("{}{better}", unit.name), end, text(11, HPos::Right, VPos::Top)))?;

    let mut sorted: Vec<_> = figures.iter().collect();
    sorted.sort_by(|a, b| a.value.median.total_cmp(&b.value.median));
    if unit.more_is_better {
        sorted.reverse();
    }
    let most = sorted.iter().map(|figure| figure.value.greatest).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| NAMES + (value / most * f64::from(PANEL_WIDTH - NAMES - FIGURES)) as i32;
    for (at, figure) in sorted.iter().enumerate() {
        let top = TITLE + BAR * at as i32;
        let middle = top + BAR / 2 - 1;
        let color = match figure.peer {
            OURS => OUR_BARS,
            bare if bare.starts_with("echo") || bare == "tcp" => BARE_BARS,
            _ => OTHER_BARS,
        };
        let bar = [(NAMES, top + 2), (x(figure.value.median), top + BAR - 4)];
        area.draw(&Rectangle::new(bar, color.filled()))?;
        let spread = [(x(figure.value.least), middle), (x(figure.value.greatest), middle)];
        area.draw(&PathElement::new(spread, INK))?;
        area.draw(&Text::new(figure.peer, (NAMES - 6, middle), text(12, HPos::Right, VPos::Center)))?;
        let behind = x(figure.value.greatest.max(figure.value.median)) + 6;
        area.draw(&Text::new(short(figure.value.median), (behind, middle), text(12, HPos::Left, VPos::Center)))?;
    }
    Ok(())
}

fn text(size: i32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).color(&INK).pos(Pos::new(horizontal, vertical))
}
