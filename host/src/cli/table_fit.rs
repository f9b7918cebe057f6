//! How a table becomes narrow enough: which columns give way, and what is cut out of a text.

/// Narrowest that a column is made for others.
const COLUMN_MIN: usize = 8;

/// Makes columns narrower, the widest first, until they and the gaps between them fit; a column is not made narrower
/// than a few characters, so a very narrow terminal wraps.
pub(super) fn fit(widths: &mut [usize], gap: usize, width_max: usize) {
    let gaps = gap * widths.len().saturating_sub(1);
    let mut over = (widths.iter().sum::<usize>() + gaps).saturating_sub(width_max);
    while over > 0 {
        let Some(widest) = widths.iter().copied().max().filter(|width| *width > COLUMN_MIN) else { return };
        let Some(column) = widths.iter_mut().find(|width| **width == widest) else { return };
        *column -= 1;
        over -= 1;
    }
}

/// A text of so many characters at most, what is too much cut out of its middle: names differ at their ends.
pub(super) fn cut(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    text.chars().take(head).chain(['…']).chain(text.chars().skip(count - tail)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_middle_is_cut_out() {
        assert_eq!(cut("abcdefgh", 8), "abcdefgh");
        assert_eq!(cut("abcdefgh", 7), "abc…fgh");
        assert_eq!(cut("abcdefgh", 4), "ab…h");
        assert_eq!(cut("ééééé", 3), "é…é");
    }

    #[test]
    fn the_widest_columns_give_way() {
        let mut widths = [10, 40, 30];
        fit(&mut widths, 2, 64);
        assert_eq!(widths, [10, 25, 25]);
        let mut widths = [3, 5];
        fit(&mut widths, 2, 4);
        assert_eq!(widths, [3, 5], "what is narrow stays");
    }

    proptest! {
        #[test]
        fn a_table_fits_if_it_can(mut widths in prop::collection::vec(1usize..200, 1..12), width in 1usize..300) {
            let before = widths.clone();
            fit(&mut widths, 2, width);
            let all = |widths: &[usize]| widths.iter().sum::<usize>() + 2 * (widths.len() - 1);
            prop_assert!(widths.iter().zip(&before).all(|(now, before)| now <= before && *now >= COLUMN_MIN.min(*before)));
            let least: Vec<_> = before.iter().map(|width| COLUMN_MIN.min(*width)).collect();
            prop_assert!(all(&widths) <= width || widths == least);
            prop_assert!(all(&before) > width || widths == before, "nothing is cut without need");
        }
    }
}
