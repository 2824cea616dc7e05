/**
 * Ids of services and providers. They are parts of paths and file names, so they begin neither with a dot nor with a
 * hyphen. WaTTS accepted the same characters.
 */
export const idPattern = /^(?!__proto__$)[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/
