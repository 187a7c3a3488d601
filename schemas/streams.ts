/** Names of streams, in one place: a stream is one aggregate. */
export const orderStream = (orderId: string) => `order-${orderId}`
export const paymentStream = (orderId: string) => `payment-${orderId}`
export const inventoryStream = (sku: string) => `inventory-${sku}`
export const productStream = (sku: string) => `product-${sku}`
export const customerStream = (customerId: string) => `customer-${customerId}`
export const fulfilmentStream = (orderId: string) => `fulfilment-${orderId}`

/** The id behind the stream's prefix: `order-7f...` gives `7f...`. */
export const idOf = (stream: string): string => stream.slice(stream.indexOf('-') + 1)
