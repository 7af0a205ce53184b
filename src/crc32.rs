//! The checksum of zip and Ethernet: polynomial 0x04c11db7, bits reflected.

/// Of these bytes.
pub fn of(bytes: &[u8]) -> u32 {
    more(0, bytes)
}

/// Of the bytes whose checksum was `before`, and of these behind them.
pub fn more(before: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!before, |crc, &byte| TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { 0xedb8_8320 ^ crc >> 1 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_zip() {
        assert_eq!((of(b"123456789"), of(b"")), (0xcbf4_3926, 0));
        assert_eq!(more(of(b"1234"), b"56789"), of(b"123456789"));
    }
}
