/**
 * The one importer of `oidc-provider`. On Node 20 the library prints at import that it wants Node 22; it runs there all
 * the same (our tests show it), and the line would only puzzle who runs the demo. So it is held back during the import.
 */
const warn = console.warn
console.warn = () => undefined
const library = await import('oidc-provider').finally(() => {
  console.warn = warn
})

export const { Provider, errors } = library
