// Package grpcquota has a gRPC server ask imquota before it handles a call.
//
//	grpc.NewServer(
//		grpc.ChainUnaryInterceptor(authenticate, grpcquota.Unary(quotas, options)),
//		grpc.ChainStreamInterceptor(authenticateStream, grpcquota.Stream(quotas, options)))
//
// Options.Request says what a call is in the words of imquota, by what the
// interceptors before have found out about who calls. Handlers find the answer by
// [client.FromContext].
//
// What is asked for is counted before it is handled, and stays so when the handler
// fails: it is for what gateways see, such as features and logins. What creates
// something is better held by [client.Client.Reserve].
package grpcquota
