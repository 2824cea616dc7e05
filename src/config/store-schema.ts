import { z } from 'zod'

/** Settings of the records store (configuration section `store`). */
export const storeSettings = z.strictObject({
  path: z
    .string()
    .min(1)
    .default('tts.db')
    .describe(
      'File of the SQLite database, relative to the data directory. Not used when `url` is set.',
    ),
  url: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://')
    .optional()
    .describe(
      'Connection string of a PostgreSQL database, for several replicas. Secret: it may hold a password.',
    ),
  url_file: z.string().min(1).optional().describe('File with the connection string.'),
  pool_size: z
    .int()
    .min(2)
    .max(100)
    .default(10)
    .describe('Most connections to PostgreSQL that one replica opens.'),
  timeout_seconds: z
    .number()
    .min(0.1)
    .max(300)
    .default(5)
    .describe('How long a question to the database may take before it is given up, in seconds.'),
  queue_limit: z
    .int()
    .min(1)
    .max(100_000)
    .default(2048)
    .describe(
      'Most records that may wait for their commit; what comes beyond is refused with 503.',
    ),
  audit_retention_days: z
    .int()
    .min(1)
    .default(1100)
    .describe(
      'How long lines of the audit trail are kept, in days. Certificates stay on record for ever.',
    ),
})

/** Checked settings of the records store; `path` is made absolute by the caller. */
export type StoreSettings = Readonly<z.output<typeof storeSettings>>
