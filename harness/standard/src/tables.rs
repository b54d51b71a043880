//! The names of the IXIT's tables.

/// The tables of the IXIT pro forma (TS 103 701 v2.1.1, Annex B), by their names there.
pub const IXIT_TABLES: [&str; 29] = [
    "1-AuthMech",
    "2-UserInfo",
    "3-VulnTypes",
    "4-Conf",
    "5-VulnMon",
    "6-SoftComp",
    "7-UpdMech",
    "8-UpdProc",
    "9-ReplSup",
    "10-SecParam",
    "11-SecComMech",
    "12-NetSecImpl",
    "13-SoftServ",
    "14-SecMgmt",
    "15-PhyIntf",
    "16-CodeMin",
    "17-PrivlCtrl",
    "18-AccCtrl",
    "19-SecDev",
    "20-SecBoot",
    "21-PersData",
    "22-ExtSens",
    "23-ResMech",
    "24-TelData",
    "25-DelFunc",
    "26-UserDec",
    "27-UserIntf",
    "28-LogIntf",
    "29-InpVal",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_numbered_from_1_to_29() {
        for (index, table) in IXIT_TABLES.iter().enumerate() {
            assert!(table.starts_with(&format!("{}-", index + 1)), "{table}");
        }
    }
}
