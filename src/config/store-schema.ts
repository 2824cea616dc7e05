import { z } from 'zod'

/** A century. Far longer times reach back to before the first date that can be written. */
const MAX_DAYS = 36_500

/** Settings of the database (configuration section `store`). */
export const storeSettings = z.strictObject({
  path: z
    .string()
    .min(1)
    .default('tts.db')
    .describe(
      'File of the SQLite database, relative to the data directory. Ignored if `url` is set.',
    ),
  url: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://')
    .optional()
    .describe(
      'Connection string of a PostgreSQL database, for several replicas. It may name several servers, separated by commas; the one that accepts writes is used. Secret: it may contain a password.',
    ),
  url_file: z.string().min(1).optional().describe('File with the connection string.'),
  pool_size: z
    .int()
    .min(2)
    .max(100)
    .default(10)
    .describe('Maximum number of connections to PostgreSQL per replica.'),
  timeout_seconds: z
    .number()
    .min(0.1)
    .max(300)
    .default(5)
    .describe('Time limit for a query, in seconds.'),
  queue_limit: z
    .int()
    .min(1)
    .max(100_000)
    .default(2048)
    .describe('Maximum number of records that wait for their commit; further requests get 503.'),
  audit_retention_days: z
    .int()
    .min(1)
    .max(MAX_DAYS)
    .default(1100)
    .describe(
      'Time that lines of the audit trail and of the ledgers of delegations are kept, in days; older ones are deleted. Records of credentials follow `record_retention_days`.',
    ),
  record_retention_days: z
    .int()
    // RFC 5280 section 3.3: a revoked certificate must be on a CRL made after its expiry. `ca.crl_refresh_seconds` is
    // at most 30 days.
    .min(30)
    .max(MAX_DAYS)
    .optional()
    .describe(
      'Time that records of credentials are kept in the database after the credential and its EEC have ended, in days. Older ones move to files in `archive_dir`. Not set: they are kept in the database forever. Names of users always stay.',
    ),
  archive_dir: z
    .string()
    .min(1)
    .default('archive')
    .describe('Directory of the archive of old records, relative to the data directory.'),
})

/** Valid settings of the database; the caller makes `path` absolute. */
export type StoreSettings = Readonly<z.output<typeof storeSettings>>
