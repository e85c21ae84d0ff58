//! A picture of palette colours with lines, boxes and text, and its PNG.

use crate::{Error, Result};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyleBuilder};
use embedded_graphics::pixelcolor::Gray8;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{
    Line, PrimitiveStyle, PrimitiveStyleBuilder, Rectangle, StrokeAlignment,
};
use embedded_graphics::text::{Baseline, Text};
use std::convert::Infallible;

/// Palette indices below this are greys from black to white.
pub const GREYS: u8 = 128;
/// First of the tinted greys: [`TINT_GREYS`] for each of [`STRENGTHS`].
const TINTS: u8 = GREYS;
const TINT_GREYS: u8 = 24;
const STRENGTHS: u8 = 4;
/// First of the named colours.
const NAMED: u8 = TINTS + TINT_GREYS * STRENGTHS;

/// A colour of the palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ink(pub u8);

impl Ink {
    /// White.
    pub const WHITE: Self = Self(GREYS - 1);
    /// Black.
    pub const BLACK: Self = Self(0);
    /// Outline of the lungs.
    pub const LUNG: Self = Self(NAMED);
    /// Outline of infected tissue.
    pub const INFECTED: Self = Self(NAMED + 1);
    /// Line to the pleura.
    pub const PLEURA: Self = Self(NAMED + 2);
    /// A region that is irrelevant to infection.
    pub const IRRELEVANT: Self = Self(NAMED + 3);
    /// Background of captions.
    pub const STRIP: Self = Self(NAMED + 4);
    /// First colour of infection types.
    const TYPES: u8 = NAMED + 5;

    /// A grey: 0 black, 1 white.
    pub fn grey(brightness: f32) -> Self {
        Self((brightness.clamp(0.0, 1.0) * f32::from(GREYS - 1)).round() as u8)
    }

    /// A grey tinted with the colour of infection; `strength` 0 (no tint) to 1.
    pub fn tinted(brightness: f32, strength: f32) -> Self {
        let step = |v: f32, most: u8| (v.clamp(0.0, 1.0) * f32::from(most)).round() as u8;
        match step(strength, STRENGTHS) {
            0 => Self::grey(brightness),
            s => Self(TINTS + TINT_GREYS * (s - 1) + step(brightness, TINT_GREYS - 1)),
        }
    }

    /// The colour of the infection type at this place in the model's classes.
    pub fn infection_type(class: usize) -> Self {
        Self(Self::TYPES + (class % TYPE_COLOURS.len()) as u8)
    }

    /// Red, green and blue.
    pub fn rgb(self) -> [u8; 3] {
        let mix = |a: f32, b: f32, t: f32| (a + (b - a) * t).round() as u8;
        match self.0 {
            i if i < GREYS => [mix(0.0, 255.0, f32::from(i) / f32::from(GREYS - 1)); 3],
            i if i < NAMED => {
                let (strength, grey) = ((i - TINTS) / TINT_GREYS + 1, (i - TINTS) % TINT_GREYS);
                let base = f32::from(grey) / f32::from(TINT_GREYS - 1) * 255.0;
                let t = f32::from(strength) / f32::from(STRENGTHS) * 0.85;
                [mix(base, 255.0, t), mix(base, 150.0, t), mix(base, 30.0, t)]
            }
            i => NAMED_COLOURS
                .iter()
                .chain(&TYPE_COLOURS)
                .nth(usize::from(i - NAMED))
                .copied()
                .unwrap_or([255, 0, 255]),
        }
    }
}

/// Lung, infected, pleura, irrelevant, strip.
const NAMED_COLOURS: [[u8; 3]; 5] =
    [[70, 130, 180], [240, 228, 66], [86, 200, 250], [176, 180, 190], [18, 22, 28]];

/// Infection types: hues that stay apart for colour-blind readers (after Okabe and Ito).
const TYPE_COLOURS: [[u8; 3]; 4] = [[255, 122, 26], [224, 130, 196], [46, 190, 140], [120, 160, 255]];

/// A picture, one palette index a pixel.
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// A picture of one colour.
    pub fn new(width: usize, height: usize, ink: Ink) -> Self {
        Self { width, height, pixels: vec![ink.0; width * height] }
    }

    /// Pixels across and down.
    pub fn dimensions(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Sets a pixel; outside nothing happens.
    pub fn set(&mut self, x: usize, y: usize, ink: Ink) {
        if x < self.width && y < self.height {
            self.pixels[y * self.width + x] = ink.0;
        }
    }

    /// A line one pixel wide.
    pub fn line(&mut self, from: [i32; 2], to: [i32; 2], ink: Ink) {
        let line = Line::new(Point::new(from[0], from[1]), Point::new(to[0], to[1]));
        let Ok(()) = line.into_styled(PrimitiveStyle::with_stroke(Gray8::new(ink.0), 1)).draw(self);
    }

    /// The outline of the pixels from `min` up to, not including, `max`, drawn inwards.
    pub fn frame(&mut self, min: [i32; 2], max: [i32; 2], stroke: u32, ink: Ink) {
        let style = PrimitiveStyleBuilder::new()
            .stroke_color(Gray8::new(ink.0))
            .stroke_width(stroke)
            .stroke_alignment(StrokeAlignment::Inside)
            .build();
        let Ok(()) = rectangle(min, max).into_styled(style).draw(self);
    }

    /// Fills the pixels from `min` up to, not including, `max`.
    pub fn fill(&mut self, min: [i32; 2], max: [i32; 2], ink: Ink) {
        let style = PrimitiveStyle::with_fill(Gray8::new(ink.0));
        let Ok(()) = rectangle(min, max).into_styled(style).draw(self);
    }

    /// Text with its upper left corner at `at`, on a background when one is given.
    pub fn text(&mut self, text: &str, at: [i32; 2], font: &MonoFont<'_>, ink: Ink, behind: Option<Ink>) {
        let style = MonoTextStyleBuilder::new().font(font).text_color(Gray8::new(ink.0));
        let style = match behind {
            Some(behind) => style.background_color(Gray8::new(behind.0)).build(),
            None => style.build(),
        };
        let Ok(_) = Text::with_baseline(text, Point::new(at[0], at[1]), style, Baseline::Top).draw(self);
    }

    /// The picture as an indexed PNG.
    ///
    /// # Errors
    /// [`Error::Encode`] when the picture has no pixels.
    pub fn png(&self) -> Result<Vec<u8>> {
        let fail = |e: png::EncodingError| Error::encode("picture")(e.to_string());
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette((0..=u8::MAX).flat_map(|i| Ink(i).rgb()).collect::<Vec<u8>>());
        let mut writer = encoder.write_header().map_err(fail)?;
        writer.write_image_data(&self.pixels).map_err(fail)?;
        writer.finish().map_err(fail)?;
        Ok(out)
    }
}

fn rectangle(min: [i32; 2], max: [i32; 2]) -> Rectangle {
    let size = Size::new((max[0] - min[0]).max(0) as u32, (max[1] - min[1]).max(0) as u32);
    Rectangle::new(Point::new(min[0], min[1]), size)
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.width as u32, self.height as u32)
    }
}

impl DrawTarget for Canvas {
    type Color = Gray8;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Gray8>>>(
        &mut self,
        pixels: I,
    ) -> std::result::Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            if let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y)) {
                self.set(x, y, Ink(colour.luma()));
            }
        }
        Ok(())
    }
}
