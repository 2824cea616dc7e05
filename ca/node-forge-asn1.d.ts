/** The ASN.1 part of node-forge, loaded alone: nothing else of forge is wanted, and nothing of it verifies. */
declare module 'node-forge/lib/asn1.js' {
  export interface ForgeNode {
    readonly tagClass: number
    readonly type: number
    readonly constructed: boolean
    readonly composed: boolean
    readonly value: string | readonly ForgeNode[]
  }
  interface ForgeAsn1 {
    create(
      tagClass: number,
      type: number,
      constructed: boolean,
      value: string | readonly ForgeNode[],
    ): ForgeNode
    fromDer(
      bytes: string,
      options: {
        strict: boolean
        parseAllBytes: boolean
        decodeBitStrings: boolean
        maxDepth: number
      },
    ): ForgeNode
  }
  const asn1: ForgeAsn1
  export default asn1
}
