"""The doctor: what would stop or spoil a job, and the proxies that mend clips."""
