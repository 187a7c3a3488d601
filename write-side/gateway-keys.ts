/** The names under which the gateway knows our calls: made of order and step, so every retry uses the same. */
export const gatewayKeys = {
  authorise: (orderId: string) => `${orderId}:authorise`,
  capture: (orderId: string) => `${orderId}:capture`,
  void: (orderId: string) => `${orderId}:void`,
  refund: (orderId: string, refundId: string) => `${orderId}:refund:${refundId}`,
}
