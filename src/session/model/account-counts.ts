/** What this host counts of the accounts of its tasks, since its worker started. */
export interface AccountCounts {
  saved: number;
  quarantined: number;
}
