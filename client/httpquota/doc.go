// Package httpquota has an HTTP server ask imquota before it handles a request.
//
//	checked := httpquota.Middleware(quotas, httpquota.Options{Request: func(r *http.Request) *imquotav1.CheckQuotaRequest {
//		return …
//	}})
//	http.Handle("POST /v1/login", checked(login))
//
// Options.Request says what a request is in the words of imquota, by what the
// middleware before has found out about who asks. Handlers find the answer by
// [client.FromContext].
//
// What is asked for is counted before it is handled, and stays so when the handler
// fails: it is for what gateways see, such as features and logins. What creates
// something is better held by [client.Client.Reserve].
package httpquota
