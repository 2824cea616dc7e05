/** How many requests are under way: bounds them, and tells idle time from busy. */
export interface Activity {
  readonly inFlight: number
  begin(): void
  end(): void
}

export function createActivity(): Activity {
  let inFlight = 0
  return {
    get inFlight() {
      return inFlight
    },
    begin() {
      inFlight += 1
    },
    end() {
      inFlight -= 1
    },
  }
}
