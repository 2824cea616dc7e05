/** The settings of the Kubernetes Secrets that hold a proxy. */
import { z } from 'zod'

/** A label of RFC 1123, which the API limits to 63 characters in a namespace, but not in names of other objects. */
const LABEL = '[a-z0-9](?:[-a-z0-9]*[a-z0-9])?'
const NAME = `${LABEL}(?:\\.${LABEL})*`

const objectName = z
  .string()
  .max(253)
  .regex(new RegExp(`^${NAME}$`), 'must be a name of a Kubernetes object (RFC 1123)')

export const secretSettings = z.strictObject({
  name: objectName.describe('Name of the Secret.'),
  namespace: z
    .string()
    .max(63)
    .regex(new RegExp(`^${LABEL}$`), 'must be a name of a Kubernetes namespace (RFC 1123)')
    .optional()
    .describe('Namespace of the Secret. Default: that of this pod.'),
  key: z
    .string()
    .regex(
      /^(?!\.\.?$|\.\.)[-._a-zA-Z0-9]{1,253}$/,
      'must have 1 to 253 letters, digits, dots, underscores and hyphens, and not begin with ".."',
    )
    .default('proxy')
    .describe(
      'Key of the Secret that holds the proxy: the name of the file in pods that mount it.',
    ),
  create: z
    .boolean()
    .default(false)
    .describe(
      'Whether to create the Secret if it does not exist. That needs the permission to create any Secret of the namespace, because `create` cannot be limited to a name.',
    ),
  overwrite: z
    .boolean()
    .default(false)
    .describe(
      'Whether to write into a Secret with data that does not have the label `certcache/managed=true`.',
    ),
  restart: z
    .array(
      z
        .string()
        .regex(
          new RegExp(`^(deployment|statefulset|daemonset)/(?=.{1,253}$)${NAME}$`),
          'must be deployment/NAME, statefulset/NAME or daemonset/NAME',
        ),
    )
    .max(16)
    .default([])
    .describe(
      'What is restarted with each new proxy, as `deployment/NAME`, `statefulset/NAME` or `daemonset/NAME` in the same namespace. For pods that read the proxy only at their start.',
    ),
})

export type SecretSettings = z.output<typeof secretSettings>

/**
 * Whether two entries can name the same Secret. Its annotations say when its proxy was obtained and written, so it can
 * hold only one. The namespace of an entry without one is that of the pod, which is not known here.
 */
export const mayBeSame = (one: SecretSettings, other: SecretSettings): boolean =>
  one.name === other.name &&
  (one.namespace === other.namespace ||
    one.namespace === undefined ||
    other.namespace === undefined)
