//! Sorted layers of changes over one another, read as one.

use std::iter::Peekable;

/// Merges sorted layers, newest first, into one sorted sequence: of rows with one key the newest counts, and
/// a row that is `None` hides the older ones.
pub(super) struct Layered<I: Iterator> {
    layers: Vec<Peekable<I>>,
}

impl<I: Iterator> Layered<I> {
    /// `layers` are sorted each, with keys that differ; newest first.
    pub(super) fn new(layers: impl IntoIterator<Item = I>) -> Self {
        Self { layers: layers.into_iter().map(Iterator::peekable).collect() }
    }
}

impl<K: Ord + Clone, V, E, I: Iterator<Item = Result<(K, Option<V>), E>>> Iterator for Layered<I> {
    type Item = Result<(K, V), E>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut least: Option<K> = None;
            for layer in &mut self.layers {
                match layer.peek() {
                    Some(Ok((key, _))) if least.as_ref().is_none_or(|least| key < least) => least = Some(key.clone()),
                    Some(Err(_)) => return layer.next().and_then(Result::err).map(Err),
                    _ => {}
                }
            }
            let least = least?;
            let mut newest = None;
            for layer in &mut self.layers {
                if let Some(Ok((_, value))) = layer.next_if(|row| row.as_ref().is_ok_and(|(key, _)| *key == least)) {
                    newest.get_or_insert(value);
                }
            }
            if let Some(Some(value)) = newest {
                return Some(Ok((least, value)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = Result<(u32, Option<char>), &'static str>;

    fn read(layers: &[&[Row]]) -> Vec<Result<(u32, char), &'static str>> {
        Layered::new(layers.iter().map(|layer| layer.iter().copied())).collect()
    }

    #[test]
    fn the_newest_layer_wins_and_none_hides() {
        let newest = [Ok((2, None)), Ok((4, Some('x')))];
        let middle = [Ok((1, Some('m'))), Ok((2, Some('m')))];
        let oldest = [Ok((2, Some('o'))), Ok((3, Some('o'))), Ok((4, Some('o'))), Ok((5, Some('o')))];
        let expected = [Ok((1, 'm')), Ok((3, 'o')), Ok((4, 'x')), Ok((5, 'o'))];
        assert_eq!(read(&[&newest, &middle, &oldest]), expected);
        assert_eq!(read(&[]), []);
    }

    #[test]
    fn an_error_is_told() {
        assert_eq!(read(&[&[Ok((1, Some('a')))], &[Err("damaged")]]).first(), Some(&Err("damaged")));
    }
}
